/** Finds anything by name; opened with the key `/`. */
import { Modal, NavLink, Select } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { focused, groups, lanes, proxies, releases, revisions, services } from "../api/queries";
import { views } from "../navigation";

const MOST = 50; // options that are shown at one time

export function Search() {
  const { t } = useTranslation();
  const [opened, { open, close }] = useDisclosure();
  useHotkeys([["/", open]]);
  return (
    <>
      <NavLink component="button" label={t("search.open")} leftSection={<IconSearch size={18} aria-hidden />} onClick={open} aria-haspopup="dialog" aria-keyshortcuts="/" />
      <Modal opened={opened} onClose={close} title={t("search.title")} closeButtonProps={{ "aria-label": t("effect.close") }}>
        <Everything close={close} />
      </Modal>
    </>
  );
}

const at = encodeURIComponent;
/** A view whose filter has this text. */
const filtered = (path: string, text: string) => `${path}?q=${at(JSON.stringify(text))}`;

function useEverything() {
  const { t } = useTranslation();
  const known = {
    groups: useQuery(groups).data,
    lanes: useQuery(lanes).data,
    releases: useQuery(releases).data,
    services: useQuery(services).data,
    proxies: useQuery(proxies).data,
    revisions: useQuery(revisions).data,
  };
  return useMemo(() => {
    const places = new Map<string, string>();
    const part = (group: string, found: [label: string, path: string][]) => {
      const items = [...new Map(found)].map(([label, path]) => {
        const value = `${group} ${label}`;
        places.set(value, path);
        return { label, value };
      });
      return { group, items };
    };
    const instances = (known.services?.items ?? []).flatMap((one) => [...one.instances, ...one.refused].map((found) => `${found.address}:${found.port}`));
    const applications = (known.services?.items ?? []).flatMap((one) => one.instances.map((found) => found.application));
    const data = [
      part(t("search.views"), views.flatMap((one): [string, string][] => (one.name ? [[t(`views.${one.name}`), one.path]] : []))),
      part(t("overview.groups"), (known.groups ?? []).map((one) => [one.name, `/groups/${at(one.name)}`])),
      part(t("overview.lanes"), (known.lanes ?? []).map((one) => [one.name, focused(one)])),
      part(t("views.releases"), (known.releases ?? []).map((one) => [`${one.group}/${one.name}`, `/releases/${at(one.group)}/${at(one.name)}`])),
      part(t("edit.applications"), applications.map((one) => [one, filtered("/services", one)])),
      part(t("views.services"), (known.services?.items ?? []).map((one) => [one.service, filtered("/services", one.service)])),
      part(t("overview.instances"), instances.map((one) => [one, filtered("/services", one)])),
      part(t("views.proxies"), (known.proxies ?? []).map((one) => [one.node, `/proxies/${at(one.node)}`])),
      part(t("views.history"), (known.revisions ?? []).map((one) => [`${one.revision} ${one.what.slice(0, 3).join(", ")} ${one.who} ${one.note}`, filtered("/history", `${one.revision} ${one.who}`)])),
    ];
    return { data, places };
  }, [known.groups, known.lanes, known.releases, known.services, known.proxies, known.revisions, t]);
}

function Everything({ close }: { close: () => void }) {
  const { t } = useTranslation();
  const router = useRouter();
  const { data, places } = useEverything();
  return (
    <Select
      label={t("search.name")}
      data={data}
      searchable
      limit={MOST}
      selectFirstOptionOnChange
      nothingFoundMessage={t("table.empty")}
      data-autofocus
      styles={{ groupLabel: { color: "var(--mantine-color-text)" } }}
      comboboxProps={{ withinPortal: false }}
      onChange={(value) => {
        const place = value && places.get(value);
        if (!place) return;
        close();
        router.history.push(place);
      }}
    />
  );
}
