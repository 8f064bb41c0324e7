/** A request as a form, or pasted as a `curl` line. */
import { NumberInput, Select, SimpleGrid, Stack, Textarea, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, call } from "../../api/client";
import { documentsKey } from "../../api/queries";
import { type Asked, fromCommand, fromCurl, question } from "./request";
import type { Explained } from "./Way";

const read = (line: string) => fromCommand(line) ?? fromCurl(line);
const TYPING = 200; // milliseconds after the last key

/** The answer to what is asked, and again whenever definitions or services are others. */
export function useExplained(asked: Asked | null, rolledOut: boolean) {
  const [settled] = useDebouncedValue(asked && JSON.stringify(question(asked)), TYPING);
  return useQuery({
    queryKey: [...documentsKey, "explain", settled, rolledOut],
    queryFn: async () =>
      (await call<Explained>({ method: "POST", path: rolledOut ? "/v1/explain?as=definitions" : "/v1/explain", body: JSON.parse(settled ?? "") })).data,
    enabled: asked !== null && asked.gateway !== "" && settled !== null && !settled.startsWith('{"gateway":""'),
    placeholderData: keepPreviousData,
    retry: false,
  });
}

interface Props {
  asked: Asked;
  change: (asked: Asked) => void;
  gateways: string[];
  error: Error | null;
}

export function Ask({ asked, change, gateways, error }: Props) {
  const { t } = useTranslation();
  const [pasted, setPasted] = useState("");
  const errors = error instanceof ApiError ? (error.problem?.errors ?? []) : [];
  const wrong = (field: string) => errors.filter((one) => one.field.split(/[.[]/)[0] === field).map((one) => `${one.message}. ${one.remedy ?? ""}`).join(" ") || undefined;
  const take = (line: string) => {
    setPasted(line);
    const found = read(line);
    if (found) change({ ...asked, ...found });
  };
  return (
    <Stack gap="sm">
      <Textarea
        label={t("explain.curl")}
        description={t("explain.curlText")}
        value={pasted}
        onChange={(event) => take(event.currentTarget.value)}
        error={pasted.trim() && !read(pasted) ? t("explain.noCurl") : undefined}
        rows={2}
        spellCheck={false}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
        <Select label={t("overview.gateway")} data={gateways} value={asked.gateway || null} onChange={(value) => change({ ...asked, gateway: value ?? "" })} allowDeselect={false} error={wrong("gateway")} />
        <TextInput label={t("explain.method")} value={asked.method} onChange={(event) => change({ ...asked, method: event.currentTarget.value })} error={wrong("method")} />
        <TextInput label={t("explain.host")} value={asked.host} onChange={(event) => change({ ...asked, host: event.currentTarget.value })} error={wrong("host")} />
        <TextInput label={t("explain.path")} value={asked.path} onChange={(event) => change({ ...asked, path: event.currentTarget.value })} error={wrong("path")} />
      </SimpleGrid>
      <Textarea
        label={t("explain.headers")}
        description={t("explain.headersText")}
        value={asked.headers}
        onChange={(event) => change({ ...asked, headers: event.currentTarget.value })}
        error={wrong("headers")}
        rows={3}
        spellCheck={false}
      />
      <NumberInput label={t("explain.port")} description={t("explain.portText")} value={asked.port} onChange={(value) => change({ ...asked, port: String(value) })} min={1} max={65535} allowDecimal={false} error={wrong("port")} />
      <TextInput label={t("explain.address")} value={asked.client} onChange={(event) => change({ ...asked, client: event.currentTarget.value })} error={wrong("client_address") ?? (error && errors.length === 0 ? error.message : undefined)} />
    </Stack>
  );
}
