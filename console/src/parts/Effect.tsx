/** What a change does: the difference, the requests that change lane, new warnings; and how to do the same elsewhere. */
import { Alert, Code, CopyButton, Group, List, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import type { Applied } from "../api/effects";
import { useFigures } from "./figures";

const text = (value: unknown): string => (value == null ? "–" : typeof value === "string" ? value : JSON.stringify(value));

export function Effect({ applied }: { applied: Applied }) {
  const { t } = useTranslation();
  const say = useFigures();
  const place = (one: Schemas["Place"]) =>
    one.route === null ? t("effect.notFound") : one.by_share ? t("effect.byShare") : (one.lane ?? t("effect.base"));
  const fields = (applied.changes ?? []).flatMap((change) => change.fields.map((field) => ({ ...field, document: change.document })));
  return (
    <Stack gap="sm">
      {fields.length === 0 ? (
        <Text size="sm">{t("effect.nothing")}</Text>
      ) : (
        <Table.ScrollContainer minWidth={360} tabIndex={0} aria-label={t("effect.changes")}>
          <Table aria-label={t("effect.changes")} fz="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">{t("effect.field")}</Table.Th>
                <Table.Th scope="col">{t("effect.before")}</Table.Th>
                <Table.Th scope="col">{t("effect.after")}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {fields.slice(0, 50).map((one) => (
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
      {applied.moves && applied.moves.items.length + applied.moves.shares.length > 0 && (
        <div>
          <Text fw={600} size="sm">{t("effect.moves")}</Text>
          <List size="sm">
            {applied.moves.shares.map((one) => (
              <List.Item key={`${one.gateway} ${one.route} ${one.lane}`}>
                {t("effect.share", { route: one.route, lane: one.lane, before: say.percent(one.before), after: say.percent(one.after) })}
              </List.Item>
            ))}
            {applied.moves.items.map((one) => (
              <List.Item key={one.explain}>
                {t("effect.move", { before: place(one.before), after: place(one.after) })} <Code>{one.explain}</Code>
              </List.Item>
            ))}
          </List>
          {applied.moves.incomplete && <Text size="sm">{t("effect.more")}</Text>}
        </div>
      )}
      {(applied.warnings ?? []).map((one) => (
        <Alert key={`${one.document} ${one.message}`} color="yellow" title={one.document}>{one.message}</Alert>
      ))}
    </Stack>
  );
}

/** The same as commands. */
export function Commands({ commands }: { commands: string[] }) {
  const { t } = useTranslation();
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>{t("effect.same")}</Text>
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
