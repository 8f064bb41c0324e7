import { Select, Switch, TagsInput, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { type Document, sent } from "../../api/effects";
import { document, gateways, groupPath, services } from "../../api/queries";
import { Editor, type Wrong } from "./Editor";

const FIELDS = ["kind", "name", "gateway", "applications", "inherit_tag", "colour_by_trace"];

export default function EditGroup() {
  const { t } = useTranslation();
  const { group } = useParams({ strict: false }) as { group?: string };
  const navigate = useNavigate();
  const { data } = useQuery({
    ...document<Schemas["LaneGroup"]>(groupPath(group ?? "")),
    queryKey: ["edited", group ?? ""],
    enabled: group !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
  if (group !== undefined && !data) return null;
  return (
    <Editor
      title={group === undefined ? t("actions.newGroup") : t("edit.group", { group })}
      first={data ? sent(data.data) : { kind: "LaneGroup", name: "", gateway: "", applications: [] }}
      match={data?.etag}
      fields={FIELDS}
      path={(one) => groupPath(String(one.name))}
      done={(one) => void navigate({ to: `/groups/${encodeURIComponent(String(one.name))}` })}
      form={(edited, change, wrong) => <Form document={edited} change={change} wrong={wrong} isNew={group === undefined} />}
    />
  );
}

function Form({ document: edited, change, wrong, isNew }: { document: Document; change: (change: Document) => void; wrong: Wrong; isNew: boolean }) {
  const { t } = useTranslation();
  const known = (useQuery(gateways).data ?? []).map((one) => one.name);
  const applications = [...new Set((useQuery(services).data?.items ?? []).flatMap((one) => one.instances.map((instance) => instance.application)))].sort();
  return (
    <>
      <TextInput label={t("edit.name")} value={String(edited.name ?? "")} onChange={(event) => change({ name: event.currentTarget.value })} disabled={!isNew} required error={wrong("name")} />
      <Select label={t("overview.gateway")} data={known} value={String(edited.gateway ?? "") || null} onChange={(value) => change({ gateway: value ?? "" })} required error={wrong("gateway")} />
      <TagsInput label={t("edit.applications")} description={t("edit.applicationsText")} data={applications} value={(edited.applications as string[] | undefined) ?? []} onChange={(value) => change({ applications: value })} error={wrong("applications")} />
      <Switch label={t("edit.inherit")} checked={edited.inherit_tag !== false} onChange={(event) => change({ inherit_tag: event.currentTarget.checked })} />
      <Switch label={t("edit.byTrace")} checked={edited.colour_by_trace === true} onChange={(event) => change({ colour_by_trace: event.currentTarget.checked })} />
    </>
  );
}
