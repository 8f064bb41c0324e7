/** What is around every view: navigation, connection, language, colours, who is signed in. */
import { ActionIcon, Alert, AppShell, Badge, Burger, Group, Menu, NavLink, Text, VisuallyHidden, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconLanguage, IconLogout, IconMoon, IconSun, IconUser } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Outlet, useLocation } from "@tanstack/react-router";
import { Suspense } from "react";
import { useTranslation } from "react-i18next";
import { client } from "../api/client";
import { Live, useBegun, useConnection } from "../api/live";
import { ready, session } from "../api/queries";
import { useRights } from "../api/rights";
import { views } from "../navigation";
import { languages } from "../texts";
import { Search } from "./Search";

export function Shell() {
  return (
    <Live>
      <Frame />
    </Live>
  );
}

function Frame() {
  const { t } = useTranslation();
  const [opened, { toggle, close }] = useDisclosure();
  const begun = useBegun();
  const here = useLocation({ select: (location) => location.pathname });
  return (
    <AppShell header={{ height: 56 }} navbar={{ width: 220, breakpoint: "sm", collapsed: { mobile: !opened } }} padding="md">
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap" gap="xs">
          <Group gap="xs" wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={t("shell.navigation")} />
            <Text fw={700} size="lg">Laneway</Text>
          </Group>
          <Group gap={4} wrap="nowrap">
            <ConnectionBadge />
            <Languages />
            <Colours />
            <Who />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label={t("shell.navigation")}>
        <Search />
        {views.map((view) =>
          view.name && view.icon ? (
            <NavLink
              key={view.path}
              href={`#${view.path}`}
              label={t(`views.${view.name}`)}
              leftSection={<view.icon size={18} aria-hidden />}
              active={view.path === "/" ? here === "/" : here.startsWith(view.path)}
              onClick={close}
            />
          ) : null,
        )}
        <NavLink href="/docs" label={t("shell.rest")} target="_blank" rel="noreferrer" />
      </AppShell.Navbar>
      <AppShell.Main>
        {begun && (
          <>
            <Lost />
            <Suspense>
              <Outlet />
            </Suspense>
          </>
        )}
      </AppShell.Main>
    </AppShell>
  );
}

function ConnectionBadge() {
  const { t } = useTranslation();
  const state = useConnection();
  const colours = { live: "teal", connecting: "gray", lost: "red" } as const;
  return (
    <Badge color={colours[state]} variant="outline" role="status" c="var(--mantine-color-text)" data-state={state}>
      {t(`connection.${state}`)}
    </Badge>
  );
}

function Lost() {
  const { t } = useTranslation();
  const state = useConnection();
  const { data } = useQuery(ready);
  return (
    <>
      {state === "lost" && <Alert role="alert" color="red" mb="md" title={t("connection.lostTitle")}>{t("connection.lostText")}</Alert>}
      {data?.store?.problem && <Alert role="alert" color="red" mb="md" title={t("shell.store")}>{data.store.problem}</Alert>}
    </>
  );
}

function Languages() {
  const { t, i18n } = useTranslation();
  return (
    <Menu>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("shell.language")}>
          <IconLanguage size={20} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {Object.entries(languages).map(([code, name]) => (
          <Menu.Item key={code} lang={code} onClick={() => void i18n.changeLanguage(code)}>
            {name}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Colours() {
  const { t } = useTranslation();
  const { setColorScheme } = useMantineColorScheme();
  const now = useComputedColorScheme("light");
  return (
    <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("shell.colours")} onClick={() => setColorScheme(now === "dark" ? "light" : "dark")}>
      {now === "dark" ? <IconSun size={20} aria-hidden /> : <IconMoon size={20} aria-hidden />}
    </ActionIcon>
  );
}

function Who() {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const { name, signedIn } = useRights();
  if (!name) return <VisuallyHidden>{t("shell.anybody")}</VisuallyHidden>;
  const leave = async () => {
    await client.DELETE("/v1/session");
    queries.clear();
    await queries.invalidateQueries({ queryKey: session.queryKey });
    window.location.reload();
  };
  return (
    <Menu>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("shell.user", { name })}>
          <IconUser size={20} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{name}</Menu.Label>
        {signedIn && (
          <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={() => void leave()}>
            {t("shell.leave")}
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
