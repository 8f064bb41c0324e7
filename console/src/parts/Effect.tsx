/** What a change does: the difference, the requests that change lane, new warnings; and how to do the same elsewhere. */
import { Alert, Anchor, Code, CopyButton, Group, List, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { type Call, type Schemas, curl } from "../api/client";
import type { Told } from "../api/effects";
import { useRights } from "../api/rights";
import { Deployments } from "./Deployments";
import { useFigures } from "./figures";

const MOST = 50;
const DEFAULT_SERVER = "http://127.0.0.1:18080"; // of the command line
/** Of a release: the decisions are told elsewhere. */
const DETAIL = /^progress($|\.(decisions|target|since)\b)/;
const text = (value: unknown): string => (value == null ? "–" : typeof value === "string" ? value : JSON.stringify(value));

export function Effect({ applied: told }: { applied: Told }) {
  const { t } = useTranslation();
  const changes = told.changes ?? [];
  const fields = changes.flatMap((change) => change.fields.filter((field) => !DETAIL.test(field.field)).map((field) => ({ ...field, document: change.document })));
  const whole = changes.filter((change) => change.change !== "changed");
  const deleted = told.deleted ?? [];
  return (
    <Stack gap="sm">
      {fields.length + whole.length + deleted.length + (told.deployments ?? []).length === 0 && <Text size="sm">{t("effect.nothing")}</Text>}
      {deleted.length > 0 && <Text size="sm">{t("effect.deleted", { documents: deleted.join(", ") })}</Text>}
      {whole.map((one) => (
        <Text size="sm" key={one.document}>{t(one.change === "created" ? "history.created" : "history.deleted", { document: one.document })}</Text>
      ))}
      {fields.length > 0 && (
        <Table.ScrollContainer type="native" minWidth={360} tabIndex={0} role="region" aria-label={t("effect.changes")}>
          <Table aria-label={t("effect.changes")} fz="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">{t("effect.field")}</Table.Th>
                <Table.Th scope="col">{t("effect.before")}</Table.Th>
                <Table.Th scope="col">{t("effect.after")}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {fields.slice(0, MOST).map((one) => (
                <Table.Tr key={`${one.document} ${one.field}`}>
                  <Table.Td>{one.document} {one.field}</Table.Td>
                  <Table.Td><Code>{text(one.before)}</Code></Table.Td>
                  <Table.Td><Code>{text(one.after)}</Code></Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {fields.length > MOST && <Text size="sm">{t("overview.more", { count: fields.length - MOST })}</Text>}
      {told.applications && <Instances applications={told.applications} tag={told.tag ?? ""} />}
      <Deployments told={told} />
      <Moved moves={told.moves} />
      {(told.warnings ?? []).map((one) => (
        <Alert key={`${one.document} ${one.message}`} color="yellow" title={one.document}>{one.message}</Alert>
      ))}
    </Stack>
  );
}

/** Requests that change lane, each with a question to explain. */
function Moved({ moves }: { moves: Schemas["Moves"] | null | undefined }) {
  const { t } = useTranslation();
  const say = useFigures();
  const place = (one: Schemas["Place"]) =>
    one.route === null ? t("effect.notFound") : one.by_share ? t("effect.byShare") : (one.lane ?? t("effect.base"));
  if (!moves || moves.items.length + moves.shares.length === 0) return null;
  return (
    <div>
      <Text fw={600} size="sm">{t("effect.moves")}</Text>
      <List size="sm">
        {moves.shares.map((one) => (
          <List.Item key={`${one.gateway} ${one.route} ${one.lane}`}>
            {t("effect.share", { route: one.route, lane: one.lane, before: say.percent(one.before), after: say.percent(one.after) })}
          </List.Item>
        ))}
        {moves.items.map((one) => (
          <List.Item key={one.explain}>
            {t("effect.move", { before: place(one.before), after: place(one.after) })}{" "}
            <Anchor href={`#/explain?ask=${encodeURIComponent(one.explain)}`} target="_blank" size="sm" underline="always"><Code>{one.explain}</Code></Anchor>
          </List.Item>
        ))}
      </List>
      {moves.incomplete && <Text size="sm">{t("effect.more")}</Text>}
    </div>
  );
}

/** What a promotion finds: the instances of the lane and the untagged ones, by service. */
function Instances({ applications, tag }: { applications: Schemas["PromotionApplication"][]; tag: string }) {
  const { t } = useTranslation();
  const rows = applications.flatMap((one) => one.services.map((service) => ({ application: one.application, ...service })));
  const told = (some: Schemas["PromotionInstance"][]) =>
    some.map((one) => `${one.address}${one.version ? ` (${one.version})` : ""}${one.healthy ? "" : ` ▲ ${t("services.unhealthy")}`}`).join(", ") || t("services.none");
  if (rows.length === 0) return null;
  return (
    <Table.ScrollContainer type="native" minWidth={360} tabIndex={0} role="region" aria-label={t("effect.instances")}>
      <Table aria-label={t("effect.instances")} fz="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{t("overview.services")}</Table.Th>
            <Table.Th scope="col">{t("edit.matches", { tag })}</Table.Th>
            <Table.Th scope="col">{t("effect.untagged")}</Table.Th>
            <Table.Th scope="col">{t("effect.missing")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((one) => (
            <Table.Tr key={`${one.application} ${one.service}`}>
              <Table.Td>{one.application}, {one.service}</Table.Td>
              <Table.Td>{told(one.tagged)}</Table.Td>
              <Table.Td>{told(one.base)}</Table.Td>
              <Table.Td>{(one.missing ?? []).length ? `▲ ${(one.missing ?? []).join("; ")}` : "–"}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

/** A call for a shell; with the token where one is asked for. */
export function useCurl(): (call: Call) => string {
  const { name } = useRights();
  return (call) => curl(call, name !== "");
}

/** The same as commands. */
export function Commands({ commands }: { commands: string[] }) {
  const { t } = useTranslation();
  const elsewhere = window.location.origin !== DEFAULT_SERVER && commands.some((one) => one.startsWith("laneway "));
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>{t("effect.same")}</Text>
      {elsewhere && <Text size="xs">{t("effect.server")} <Code>export LANEWAY_SERVER={window.location.origin}</Code></Text>}
      {commands.map((one) => (
        <Group key={one} gap="xs" wrap="nowrap" align="flex-start">
          <Code block flex={1} tabIndex={0} aria-label={t("effect.same")}>{one}</Code>
          <CopyButton value={one}>
            {({ copied, copy }) => <UnstyledButton fz="sm" td="underline" onClick={copy}>{copied ? t("effect.copied") : t("effect.copy")}</UnstyledButton>}
          </CopyButton>
        </Group>
      ))}
    </Stack>
  );
}
