/** The shares of a lane, and by what a user stays in it. */
import { Fieldset, Group, NumberInput, Select, Stack, Switch, TextInput } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Document } from "../../api/effects";
import { Sums, useSums } from "../../parts/ShareDialog";
import type { Wrong } from "./Editor";

type Attributes = { path?: string; domain?: string; max_age?: string; secure?: boolean; http_only?: boolean; same_site?: string };
type Sticky = { cookie?: string; header?: string; client_address?: true; attributes?: Attributes };
export type Ratio = { percent?: number; routes?: Record<string, number>; sticky?: Sticky };

/** Without what is undefined. */
function given<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined && one !== "")) as Partial<T>;
}

interface Props {
  lane: Document;
  ratio: Ratio;
  routes: string[];
  set: (ratio: Ratio) => void;
  wrong: Wrong;
}

export function RatioFields({ lane, ratio, routes: known, set, wrong }: Props) {
  const { t } = useTranslation();
  const own = ratio.routes ?? {};
  const sums = useSums({ group: String(lane.group ?? ""), name: String(lane.name ?? ""), routes: lane.routes as string[] | undefined, ratio });
  const taking = (lane.routes as string[] | undefined) ?? known;
  const put = (route: string, value: number | string) => {
    const { [route]: _, ...others } = own;
    const next = value === "" ? others : { ...others, [route]: Number(value) };
    const { routes: __, ...rest } = ratio;
    set(Object.keys(next).length ? { ...rest, routes: next } : rest);
  };
  return (
    <Fieldset legend={t("edit.byRatio")}>
      <Stack gap="sm">
        <NumberInput label={t("share.percent")} value={ratio.percent ?? 0} onChange={(value) => set({ ...ratio, percent: Number(value) })} min={0} max={100} decimalScale={2} suffix=" %" error={wrong("ratio.percent") ?? wrong("ratio", "only")} />
        {[...new Set([...taking, ...Object.keys(own)])].map((route) => (
          <NumberInput key={route} label={t("edit.shareOn", { route })} placeholder={`${ratio.percent ?? 0} %`} value={own[route] ?? ""} onChange={(value) => put(route, value)} min={0} max={100} decimalScale={2} suffix=" %" error={wrong(`ratio.routes.${route}`)} />
        ))}
        <Sums sums={sums} />
        <StickyFields sticky={ratio.sticky} set={(sticky) => {
          const { sticky: _, ...rest } = ratio;
          set(sticky ? { ...rest, sticky } : rest);
        }} wrong={wrong} />
      </Stack>
    </Fieldset>
  );
}

function StickyFields({ sticky, set, wrong }: { sticky: Sticky | undefined; set: (sticky: Sticky | undefined) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  const by = sticky === undefined ? "none" : sticky.cookie !== undefined ? "cookie" : sticky.header !== undefined ? "header" : "client_address";
  const choose = (next: string | null) =>
    set(next === "cookie" ? { cookie: "laneway-sticky" } : next === "header" ? { header: "x-user" } : next === "client_address" ? { client_address: true } : undefined);
  return (
    <>
      <Select
        label={t("edit.sticky")}
        description={t("edit.stickyText")}
        value={by}
        onChange={choose}
        allowDeselect={false}
        data={[
          { value: "none", label: t("edit.stickyNone") },
          { value: "cookie", label: t("edit.stickyCookie") },
          { value: "header", label: t("edit.stickyHeader") },
          { value: "client_address", label: t("edit.stickyAddress") },
        ]}
        error={wrong("ratio.sticky", "only") ?? wrong("ratio.sticky.client_address")}
      />
      {sticky?.header !== undefined && <TextInput label={t("edit.headerName")} value={sticky.header} onChange={(event) => set({ header: event.currentTarget.value })} error={wrong("ratio.sticky.header")} />}
      {sticky?.cookie !== undefined && <CookieFields sticky={{ ...sticky, cookie: sticky.cookie }} set={set} wrong={wrong} />}
    </>
  );
}

function CookieFields({ sticky, set, wrong }: { sticky: Sticky & { cookie: string }; set: (sticky: Sticky) => void; wrong: Wrong }) {
  const { t } = useTranslation();
  const attributes = sticky.attributes ?? {};
  const field = (name: string) => `ratio.sticky.attributes.${name}`;
  const put = (some: Attributes) => {
    const next = given({ ...attributes, ...some }) as Attributes;
    set(Object.keys(next).length ? { cookie: sticky.cookie, attributes: next } : { cookie: sticky.cookie });
  };
  return (
    <>
      <TextInput label={t("edit.cookieName")} value={sticky.cookie} onChange={(event) => set({ ...sticky, cookie: event.currentTarget.value })} error={wrong("ratio.sticky.cookie")} />
      <Group grow align="flex-start">
        <TextInput label={t("edit.cookiePath")} placeholder="/" value={attributes.path ?? ""} onChange={(event) => put({ path: event.currentTarget.value })} error={wrong(field("path"))} />
        <TextInput label={t("edit.cookieDomain")} placeholder={t("edit.cookieDomainNone")} value={attributes.domain ?? ""} onChange={(event) => put({ domain: event.currentTarget.value })} error={wrong(field("domain"))} />
        <TextInput label={t("edit.cookieAge")} placeholder="8760h" value={attributes.max_age ?? ""} onChange={(event) => put({ max_age: event.currentTarget.value })} error={wrong(field("max_age"))} />
      </Group>
      <Group align="flex-end">
        <Select label="SameSite" data={["strict", "lax", "none"]} value={attributes.same_site ?? "lax"} onChange={(value) => put({ same_site: value === "lax" || value === null ? undefined : value } as Attributes)} allowDeselect={false} error={wrong(field("same_site"))} w={140} />
        <Switch label="Secure" checked={attributes.secure === true} onChange={(event) => put({ secure: event.currentTarget.checked || undefined } as Attributes)} pb={8} />
        <Switch label="HttpOnly" checked={attributes.http_only !== false} onChange={(event) => put({ http_only: event.currentTarget.checked ? undefined : false } as Attributes)} pb={8} />
      </Group>
    </>
  );
}
