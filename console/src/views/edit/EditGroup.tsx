import { Alert, Select, Switch, TagsInput, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import type { Document } from "../../api/effects";
import { gateways, groupPath, services } from "../../api/queries";
import { Editor, type Wrong } from "./Editor";
import { useEdited } from "./useEdited";

const FIELDS = ["kind", "name", "gateway", "applications", "inherit_tag", "colour_by_trace"];

export default function EditGroup() {
  const { t } = useTranslation();
  const { group } = useParams({ strict: false }) as { group?: string };
  const navigate = useNavigate();
  const { begun, error, stored, again } = useEdited<Schemas["LaneGroup"]>(group === undefined ? null : groupPath(group));
  if (error) return <Alert color="red" role="alert" title={error.message} />;
  if (group !== undefined && !begun) return null;
  return (
    <Editor
      key={begun?.at}
      title={group === undefined ? t("actions.newGroup") : t("edit.group", { group })}
      first={begun?.first ?? { kind: "LaneGroup", name: "", gateway: "", applications: [] }}
      stored={stored}
      again={again}
      match={begun?.match}
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
