/** Where a request would go and why; beside another one; and the way of a real one. */
import { Button, Card, Group, SimpleGrid, Stack, Switch, Table, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { gateways } from "../../api/queries";
import { Commands, useCurl } from "../../parts/Effect";
import { Ask, useExplained } from "./Ask";
import { type Asked, command, fromCommand, plain, question } from "./request";
import { Trace } from "./Trace";
import { type Explained, Way, useServes } from "./Way";

export default function Explain() {
  const { t } = useTranslation();
  const known = (useQuery(gateways).data ?? []).map((one) => one.name);
  const curl = useCurl();
  const { ask } = useSearch({ strict: false }) as { ask?: unknown };
  const [first, setFirst] = useState<Asked>(() => fromCommand(String(ask ?? "")) ?? plain(""));
  const [second, setSecond] = useState<Asked | null>(null);
  const [rolledOut, setRolledOut] = useState(false);
  const one: Asked = { ...first, gateway: first.gateway || (known[0] ?? "") };
  const way = useExplained(one, rolledOut);
  const other = useExplained(second, rolledOut);
  const asked = question(one);
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2">{t("views.explain")}</Title>
        <Button variant="default" size="xs" onClick={() => setSecond(second ? null : one)}>{second ? t("explain.one") : t("explain.compare")}</Button>
      </Group>
      <Switch label={t("explain.rolledOut")} checked={rolledOut} onChange={(event) => setRolledOut(event.currentTarget.checked)} />
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Card withBorder component="section" aria-label={t("explain.request")}>
          <Title order={2} size="h4" mb="sm">{t("explain.request")}</Title>
          <Ask asked={one} change={setFirst} gateways={known} error={way.error} />
        </Card>
        {second && (
          <Card withBorder component="section" aria-label={t("explain.other")}>
            <Title order={2} size="h4" mb="sm">{t("explain.other")}</Title>
            <Ask asked={second} change={setSecond} gateways={known} error={other.error} />
          </Card>
        )}
        {second && way.data && other.data && <Differences one={way.data} other={other.data} />}
        {way.data && (
          <Card withBorder>
            <Title order={2} size="h4" mb="sm">{t("explain.way")}</Title>
            <Way way={way.data} label={t("explain.way")} />
          </Card>
        )}
        {second && other.data && (
          <Card withBorder>
            <Title order={2} size="h4" mb="sm">{t("explain.otherWay")}</Title>
            <Way way={other.data} label={t("explain.otherWay")} />
          </Card>
        )}
      </SimpleGrid>
      {way.data && <Trace asked={asked} />}
      <Commands commands={[command(asked, rolledOut), curl({ method: "POST", path: rolledOut ? "/v1/explain?as=definitions" : "/v1/explain", body: asked })]} />
    </Stack>
  );
}

function Differences({ one, other }: { one: Explained; other: Explained }) {
  const { t } = useTranslation();
  const serves = useServes();
  const facts = (way: Explained) =>
    new Map([
      [t("share.route"), way.route ?? t("explain.noRoute")],
      [t("overview.lane"), way.lane ?? t("effect.base")],
      ...way.hops.map((hop): [string, string] => [`${hop.application} (${hop.service})`, serves(hop)]),
    ]);
  const [before, after] = [facts(one), facts(other)];
  const names = [...new Set([...before.keys(), ...after.keys()])];
  return (
    <Card withBorder style={{ gridColumn: "1 / -1" }}>
      <Title order={2} size="h4" mb="sm">{t("explain.differences")}</Title>
      <Table.ScrollContainer type="native" minWidth={360} tabIndex={0} role="region" aria-label={t("explain.differences")}>
        <Table aria-label={t("explain.differences")}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">{t("explain.what")}</Table.Th>
              <Table.Th scope="col">{t("explain.request")}</Table.Th>
              <Table.Th scope="col">{t("explain.other")}</Table.Th>
              <Table.Th scope="col">{t("explain.outcome")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {names.map((name) => {
              const same = before.get(name) === after.get(name);
              return (
                <Table.Tr key={name} fw={same ? undefined : 700}>
                  <Table.Th scope="row" fw={500}>{name}</Table.Th>
                  <Table.Td>{before.get(name) ?? "–"}</Table.Td>
                  <Table.Td>{after.get(name) ?? "–"}</Table.Td>
                  <Table.Td>{same ? t("explain.same") : t("explain.differs")}</Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Card>
  );
}
