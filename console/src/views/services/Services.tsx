/** Every instance of every service, with its tag and health; what cannot be used comes first, with the reason. */
import { Alert, Button, Code, Group, Modal, SegmentedControl, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { services, warnings } from "../../api/queries";
import { type Column, DataTable, useFirstFilter } from "../../parts/DataTable";
import { StateBadge, type Tone } from "../../parts/StateBadge";

type Service = Schemas["Service"];
type State = "refused" | "unhealthy" | "none" | "held" | "healthy";
interface Row {
  service: Service;
  address: string;
  state: State;
  instance: Schemas["Instance"] | null;
  reason: string;
}

const ORDER: State[] = ["refused", "unhealthy", "none", "held", "healthy"];
const TONES: Record<State, Tone> = { refused: "bad", unhealthy: "bad", none: "watch", held: "watch", healthy: "good" };
const at = ({ address, port }: { address: string; port: number }) => `${address.includes(":") ? `[${address}]` : address}:${port}`;

function rowsOf(service: Service): Row[] {
  const used = service.instances.map((instance): Row => ({
    service,
    instance,
    address: at(instance),
    state: instance.health === "unhealthy" ? "unhealthy" : instance.held ? "held" : "healthy",
    reason: "",
  }));
  const refused = service.refused.map((one): Row => ({ service, instance: null, address: at(one), state: "refused", reason: one.reason }));
  const found = [...refused, ...used];
  return found.length ? found : [{ service, instance: null, address: "–", state: "none", reason: "" }];
}

const searched = ({ service, instance, address, reason }: Row) =>
  [service.service, address, reason, instance?.application, instance?.tag, ...Object.entries(instance?.metadata ?? {}).flat()].join(" ");

export default function Services() {
  const { t } = useTranslation();
  const { data } = useQuery(services);
  const first = useFirstFilter();
  const [only, setOnly] = useState("all");
  const [opened, setOpened] = useState<Row | null>(null);
  const rows = useMemo(
    () => (data?.items ?? []).flatMap(rowsOf).sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state) || one.service.service.localeCompare(other.service.service) || one.address.localeCompare(other.address)),
    [data],
  );
  const shown = rows.filter((row) => only === "all" || (only === "tagged" ? Boolean(row.instance?.tag) : row.state !== "healthy"));
  const columns: Column<Row>[] = [
    { key: "service", title: t("releases.service"), cell: (row) => row.service.service },
    { key: "address", title: t("services.address"), cell: (row) => <Button variant="subtle" size="compact-sm" c="var(--mantine-color-text)" td="underline" aria-haspopup="dialog" onClick={() => setOpened(row)}>{row.address}</Button> },
    { key: "application", title: t("group.application"), cell: (row) => row.instance?.application ?? "–" },
    { key: "tag", title: t("group.tag"), cell: (row) => (row.instance ? (row.instance.tag ?? t("effect.base")) : "–") },
    {
      key: "state",
      title: t("overview.state"),
      cell: (row) => (
        <>
          <StateBadge tone={TONES[row.state]}>{t(`services.${row.state}`)}</StateBadge>
          {row.reason && <Text size="sm">{row.reason}</Text>}
        </>
      ),
    },
  ];
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2">{t("views.services")}</Title>
        <SegmentedControl
          aria-label={t("services.only")}
          value={only}
          onChange={setOnly}
          data={[
            { value: "all", label: t("services.all") },
            { value: "tagged", label: t("services.tagged") },
            { value: "wrong", label: t("services.wrong") },
          ]}
        />
      </Group>
      <DataTable key={first} first={first} label={t("views.services")} columns={columns} rows={shown} rowKey={(row) => `${row.service.service} ${row.address} ${row.state}`} text={searched} />
      <Modal opened={opened !== null} onClose={() => setOpened(null)} title={opened?.service.service} size="lg" closeButtonProps={{ "aria-label": t("effect.close") }}>
        {opened && <Details row={opened} />}
      </Modal>
    </Stack>
  );
}

function Details({ row }: { row: Row }) {
  const { t } = useTranslation();
  const { service, instance } = row;
  const planned = (useQuery(warnings).data?.services ?? []).filter((one) => one.service === service.service).map((one) => one.message);
  const texts = [...new Set([...planned, ...service.warnings, ...service.conflicts])];
  return (
    <Stack gap="sm">
      <Text>{row.address}{instance && `, ${instance.application}, ${instance.tag ?? t("effect.base")}`}</Text>
      {row.reason && <Alert color="red" title={t("services.refused")}>{row.reason}</Alert>}
      {instance?.held && <Text size="sm">{t("services.heldText")}</Text>}
      {texts.map((one) => <Alert key={one} color="yellow" title={t("overview.warnings")}>{one}</Alert>)}
      <Text size="sm">{t("overview.source")}: {service.source}{service.protocol && `, ${service.protocol}`}{service.updated && `, ${new Date(service.updated).toLocaleString()}`}</Text>
      {instance && Object.keys(instance.metadata).length > 0 && (
        <Table.ScrollContainer type="native" minWidth={300} tabIndex={0} role="region" aria-label={t("services.metadata")}>
          <Table aria-label={t("services.metadata")} fz="sm">
            <Table.Tbody>
              {Object.entries(instance.metadata).map(([name, value]) => (
                <Table.Tr key={name}>
                  <Table.Th scope="row" fw={500}>{name}</Table.Th>
                  <Table.Td><Code>{value}</Code></Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Stack>
  );
}
