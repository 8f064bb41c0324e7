import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";
import { sent } from "../../api/effects";
import { document, lanePath } from "../../api/queries";
import { Editor } from "./Editor";
import { LANE_FIELDS, LaneForm } from "./LaneForm";

export default function EditLane() {
  const { t } = useTranslation();
  const { group, lane } = useParams({ strict: false }) as { group: string; lane: string };
  const back = useBack(group);
  // What is edited is what was there at the beginning: somebody else's change meanwhile is refused, not overwritten.
  const { data } = useQuery({ ...document<Schemas["Lane"]>(lanePath(group, lane)), queryKey: ["edited", group, lane], staleTime: Number.POSITIVE_INFINITY, gcTime: 0, refetchOnWindowFocus: false });
  if (!data) return null;
  return (
    <Editor
      title={t("edit.lane", { lane })}
      first={sent(data.data)}
      match={data.etag}
      fields={LANE_FIELDS}
      path={() => lanePath(group, lane)}
      done={back}
      form={(edited, change, wrong) => <LaneForm document={edited} change={change} wrong={wrong} isNew={false} />}
    />
  );
}

export function useBack(group: string) {
  const navigate = useNavigate();
  return () => void navigate({ to: `/groups/${encodeURIComponent(group)}` });
}
