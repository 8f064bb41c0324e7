/** The name of a figure, and behind it the query that gives the same in the user's own Prometheus. */
import { ActionIcon, Code, CopyButton, Group, Popover, Stack, Text, UnstyledButton } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import { useTranslation } from "react-i18next";

export function QueryTitle({ title, query }: { title: string; query: string }) {
  const { t } = useTranslation();
  return (
    <Group gap={2} wrap="nowrap" display="inline-flex" component="span">
      {title}
      <Popover width={360} withArrow trapFocus withinPortal>
        <Popover.Target>
          <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t("figures.queryOf", { title })}>
            <IconChartLine size={14} aria-hidden />
          </ActionIcon>
        </Popover.Target>
        <Popover.Dropdown>
          <Stack gap="xs">
            <Text size="sm" fw={600}>{t("group.query")}</Text>
            <Code block tabIndex={0} style={{ whiteSpace: "pre-wrap" }}>{query}</Code>
            <CopyButton value={query}>
              {({ copied, copy }) => <UnstyledButton fz="sm" td="underline" onClick={copy}>{copied ? t("effect.copied") : t("effect.copy")}</UnstyledButton>}
            </CopyButton>
          </Stack>
        </Popover.Dropdown>
      </Popover>
    </Group>
  );
}
