/** Every change: when, who, what and why; its difference; and the ways back. */
import { Accordion, Button, Code, Group, List, Modal, Stack, Text, Title } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { revisions, session } from "../../api/queries";
import { type Action, Confirm } from "../../parts/Confirm";
import { type Column, DataTable, useFirstFilter } from "../../parts/DataTable";
import { Effect } from "../../parts/Effect";

type Revision = Schemas["Revision"];

export default function History() {
  const { t } = useTranslation();
  const { data: who } = useSuspenseQuery(session);
  const { data } = useQuery(revisions);
  const first = useFirstFilter();
  const [shown, setShown] = useState<Revision | null>(null);
  const [action, setAction] = useState<Action | null>(null);
  const columns: Column<Revision>[] = [
    { key: "revision", title: t("history.revision"), cell: (one) => <Button variant="subtle" size="compact-sm" c="var(--mantine-color-text)" td="underline" aria-haspopup="dialog" onClick={() => setShown(one)}>{one.revision}</Button> },
    { key: "at", title: t("history.at"), cell: (one) => (one.at ? new Date(one.at).toLocaleString() : "–") },
    { key: "who", title: t("history.who"), cell: (one) => one.who },
    { key: "what", title: t("history.what"), cell: (one) => one.what.join(", ") },
    { key: "note", title: t("history.note"), cell: (one) => one.note },
  ];
  const undo = (one: Revision): Action => ({
    title: t("history.undo"),
    says: t("history.undoSays", { revision: one.revision, what: one.what.join(", ") }),
    call: { method: "POST", path: `/v1/revisions/${one.revision}/undo` },
    trial: { method: "POST", path: `/v1/revisions/${one.revision}/undo?dry_run=true` },
    asTried: true,
    command: `laneway undo ${one.revision}`,
    danger: true,
  });
  const restore = (one: Revision): Action => ({
    title: t("history.restore"),
    says: t("history.restoreSays", { revision: one.revision }),
    call: { method: "POST", path: `/v1/revisions/${one.revision}/restore` },
    trial: { method: "POST", path: `/v1/revisions/${one.revision}/restore?dry_run=true` },
    asTried: true,
    command: `laneway undo --to ${one.revision}`,
    danger: true,
  });
  const ask = (what: Action) => {
    setShown(null);
    setAction(what);
  };
  return (
    <Stack>
      <Title order={1} size="h2">{t("views.history")}</Title>
      <DataTable key={first} first={first} label={t("views.history")} columns={columns} rows={data ?? []} rowKey={(one) => String(one.revision)} text={(one) => `${one.revision} ${one.who} ${one.note} ${one.what.join(" ")}`} />
      <Modal opened={shown !== null} onClose={() => setShown(null)} title={t("history.one", { revision: shown?.revision })} size="xl" closeButtonProps={{ "aria-label": t("effect.close") }}>
        {shown && (
          <Stack gap="sm">
            <Text>{shown.at && new Date(shown.at).toLocaleString()}, {shown.who}{shown.note && `: ${shown.note}`}</Text>
            <Changes changes={shown.changes ?? []} />
            <Accordion variant="contained">
              <Accordion.Item value="diff">
                <Accordion.Control>{t("history.diff")}</Accordion.Control>
                <Accordion.Panel><Code block tabIndex={0}>{shown.diff}</Code></Accordion.Panel>
              </Accordion.Item>
            </Accordion>
            {(who.admin || who.groups.length > 0) && (
              <Group justify="flex-end">
                <Button variant="default" onClick={() => ask(restore(shown))}>{t("history.restore")}</Button>
                <Button color="red" onClick={() => ask(undo(shown))}>{t("history.undo")}</Button>
              </Group>
            )}
          </Stack>
        )}
      </Modal>
      <Confirm action={action} close={() => setAction(null)} />
    </Stack>
  );
}

function Changes({ changes }: { changes: Schemas["Changed"][] }) {
  const { t } = useTranslation();
  const whole = changes.filter((one) => one.change !== "changed");
  return (
    <>
      {whole.length > 0 && (
        <List size="sm">
          {whole.map((one) => <List.Item key={one.document}>{t(one.change === "created" ? "history.created" : "history.deleted", { document: one.document })}</List.Item>)}
        </List>
      )}
      {(whole.length === 0 || changes.length > whole.length) && <Effect applied={{ changes: changes.filter((one) => one.change === "changed") } as unknown as Schemas["Applied"]} />}
    </>
  );
}
