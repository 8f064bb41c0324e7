/** While a freeze holds, releases take no step forward. */
import { Anchor, Button, Card, Group, Text, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { document, freezePath, freezes } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Action, Confirm } from "../../parts/Confirm";
import { type Column, DataTable } from "../../parts/DataTable";
import { StateBadge } from "../../parts/StateBadge";
import { FreezeTimes, holds } from "./Plan";

export function Freezes() {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const { admin } = useRights();
  const known = useQuery(freezes).data ?? [];
  const [action, setAction] = useState<Action | null>(null);
  const remove = async ({ name }: Schemas["Freeze"]) => {
    const { etag } = await queries.fetchQuery({ ...document<Schemas["Freeze"]>(freezePath(name)), staleTime: 0 });
    setAction({
      title: t("freezes.delete"),
      says: t("freezes.deleteSays", { name }),
      call: { method: "DELETE", path: freezePath(name), match: etag ?? undefined },
      trial: { method: "POST", path: "/v1/delete?dry_run=true", body: { kind: "Freeze", name } },
      command: `laneway delete freeze ${name}`,
      danger: true,
    });
  };
  const columns: Column<Schemas["Freeze"]>[] = [
    { key: "name", title: t("edit.name"), cell: (one) => (admin ? <Anchor href={`#/freezes/${encodeURIComponent(one.name)}`}>{one.name}</Anchor> : one.name) },
    { key: "state", title: t("overview.state"), cell: (one) => <StateBadge tone={holds(one) ? "watch" : "idle"}>{holds(one) ? t("freezes.now") : t("freezes.notNow")}</StateBadge> },
    { key: "groups", title: t("overview.groups"), cell: (one) => one.groups?.join(", ") ?? t("freezes.all") },
    { key: "times", title: t("edit.times"), cell: (one) => <FreezeTimes freeze={one} /> },
  ];
  if (admin) columns.push({ key: "actions", title: t("actions.title"), cell: (one) => <Button size="xs" variant="default" onClick={() => void remove(one)}>{t("freezes.delete")}</Button> });
  if (known.length === 0 && !admin) return null;
  return (
    <Card withBorder component="section">
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h4">{t("freezes.title")}</Title>
        {admin && <Button component="a" size="xs" variant="default" href="#/new-freeze">{t("freezes.new")}</Button>}
      </Group>
      {known.length === 0 ? <Text size="sm">{t("freezes.none")}</Text> : <DataTable label={t("freezes.title")} columns={columns} rows={known} rowKey={(one) => one.name} height="40vh" />}
      <Confirm action={action} close={() => setAction(null)} />
    </Card>
  );
}
