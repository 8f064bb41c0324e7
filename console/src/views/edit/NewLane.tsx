import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { lanePath, lanes } from "../../api/queries";
import { useBack } from "./EditLane";
import { Editor } from "./Editor";
import { LANE_FIELDS, LaneForm } from "./LaneForm";

export default function NewLane() {
  const { t } = useTranslation();
  const { group } = useParams({ strict: false }) as { group: string };
  const back = useBack(group);
  const known = useQuery(lanes).data;
  if (!known) return null;
  // All lanes of a group have one mode.
  const byRatio = known.some((one) => one.group === group && one.ratio);
  const how = byRatio ? { ratio: { percent: 0 } } : { rule: { conditions: [{ source: "header", name: "canary", operator: "==", value: "gray" }] } };
  return (
    <Editor
      title={t("actions.newLane")}
      first={{ kind: "Lane", group, name: "", tag: "", enabled: true, ...how }}
      fields={LANE_FIELDS}
      path={(lane) => lanePath(group, String(lane.name))}
      done={back}
      form={(edited, change, wrong) => <LaneForm document={edited} change={change} wrong={wrong} isNew />}
    />
  );
}
