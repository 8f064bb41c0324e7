import { Anchor, Button, Group, Stack, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { groups, releases } from "../../api/queries";
import { useRights } from "../../api/rights";
import { type Column, DataTable } from "../../parts/DataTable";
import { Freezes } from "./Freezes";
import { PhaseBadge } from "./PhaseBadge";

const ORDER = ["waiting", "aborted", "paused", "starting", "running", "stopped", "succeeded"];

export default function Releases() {
  const { t } = useTranslation();
  const { operates } = useRights();
  const mine = (useQuery(groups).data ?? []).filter((one) => operates(one.name));
  const known = useQuery(releases).data ?? [];
  const rank = (one: Schemas["Release"]) => ORDER.indexOf(one.progress?.phase ?? "") >>> 0;
  const rows = [...known].sort((one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name));
  const columns: Column<Schemas["Release"]>[] = [
    {
      key: "name",
      title: t("overview.release"),
      cell: (one) => <Anchor href={`#/releases/${encodeURIComponent(one.group)}/${encodeURIComponent(one.name)}`}>{one.name}</Anchor>,
    },
    { key: "group", title: t("overview.group"), cell: (one) => one.group },
    { key: "lane", title: t("overview.lane"), cell: (one) => one.lane },
    { key: "phase", title: t("overview.state"), cell: (one) => <PhaseBadge release={one} /> },
    { key: "step", title: t("releases.step"), figure: true, cell: (one) => (one.progress ? `${one.progress.step + 1} / ${one.steps.length}` : `– / ${one.steps.length}`) },
  ];
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2">{t("views.releases")}</Title>
        {mine.map(({ name }) => (
          <Button key={name} component="a" size="xs" variant="default" href={`#/new-release/${encodeURIComponent(name)}`}>
            {t("releases.newIn", { group: name })}
          </Button>
        ))}
      </Group>
      <DataTable label={t("views.releases")} columns={columns} rows={rows} rowKey={(one) => `${one.group}/${one.name}`} text={(one) => `${one.group} ${one.name} ${one.lane}`} empty={t("releases.none")} />
      <Freezes />
    </Stack>
  );
}
