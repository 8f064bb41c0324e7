/** What a proxy has been sent, resource by resource. */
import { Alert, Button, Card, Group, Loader, Modal, Stack, Text, Title } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, type Schemas, call, curl } from "../../api/client";
import { type Column, DataTable } from "../../parts/DataTable";
import { Commands } from "../../parts/Effect";
import { Lines } from "../../parts/Lines";
import { StateBadge, type Tone } from "../../parts/StateBadge";

type Sent = Schemas["SentResource"];
const TONES: Record<Sent["state"], Tone> = { synced: "good", unanswered: "watch", unsent: "watch", rejected: "bad", missing: "idle" };

const configuration = (node: string, query: string) => ({ method: "GET" as const, path: `/v1/configuration/${encodeURIComponent(node)}${query}` });
const streams = async (node: string, query = "") => (await call<Schemas["Configurations"]>(configuration(node, query))).data.items;

/** `state` changes whenever the proxy has been sent, has accepted or has rejected something. */
export function Configuration({ node, connected, state }: { node: string; connected: string; state: string }) {
  const { t } = useTranslation();
  const [opened, setOpened] = useState<Sent | null>(null);
  const { data } = useQuery({ queryKey: ["configuration", node, state], queryFn: () => streams(node), placeholderData: keepPreviousData, retry: false });
  const rows = data?.find((one) => one.connected === connected)?.resources ?? [];
  const columns: Column<Sent>[] = [
    { key: "type", title: t("proxies.type"), cell: (one) => one.type },
    {
      key: "name",
      title: t("edit.name"),
      cell: (one) => <Button variant="subtle" size="compact-sm" c="var(--mantine-color-text)" td="underline" aria-haspopup="dialog" onClick={() => setOpened(one)}>{one.name}</Button>,
    },
    { key: "state", title: t("overview.state"), cell: (one) => <StateBadge tone={TONES[one.state]}>{t(`proxies.of_${one.state}`)}</StateBadge> },
    { key: "size", title: t("proxies.bytes"), figure: true, cell: (one) => one.size },
  ];
  return (
    <Card withBorder component="section">
      <Title order={2} size="h4" mb="xs">{t("proxies.configuration")}</Title>
      <DataTable
        label={t("proxies.configuration")}
        columns={columns}
        rows={rows}
        rowKey={(one) => `${one.type} ${one.name}`}
        text={(one) => `${one.type} ${one.name} ${one.state}`}
        height="50vh"
      />
      <Modal opened={opened !== null} onClose={() => setOpened(null)} title={opened && `${opened.type} ${opened.name}`} size="xl" closeButtonProps={{ "aria-label": t("effect.close") }}>
        {opened && <Content node={node} connected={connected} state={state} resource={opened} />}
      </Modal>
    </Card>
  );
}

interface Shown {
  node: string;
  connected: string;
  state: string;
  resource: Sent;
}

function Content({ node, connected, state, resource: { type, name } }: Shown) {
  const { t } = useTranslation();
  const query = `?type=${encodeURIComponent(type)}&name=${encodeURIComponent(name)}`;
  const { data, error } = useQuery({ queryKey: ["configuration", node, state, query], queryFn: () => streams(node, query), placeholderData: keepPreviousData, retry: false });
  const found = data?.find((one) => one.connected === connected)?.resources[0];
  const refused = error instanceof ApiError ? error.message : found?.omitted;
  return (
    <Stack gap="sm">
      {!data && !error && <Loader size="sm" aria-label={t("shell.loading")} />}
      {found && (
        <Group gap="xs">
          <StateBadge tone={TONES[found.state]}>{t(`proxies.of_${found.state}`)}</StateBadge>
          <Text size="sm">{t(`proxies.says_${found.state}`)} {t("proxies.version")}: {found.version || "–"}</Text>
        </Group>
      )}
      {found?.nack && <Alert color="red" title={t("proxies.rejected")}>{found.nack.message}</Alert>}
      {refused && <Alert color="yellow">{refused}</Alert>}
      {found?.content && <Lines label={name} text={JSON.stringify(found.content, null, 2)} />}
      <Commands commands={[curl(configuration(node, query))]} />
    </Stack>
  );
}
