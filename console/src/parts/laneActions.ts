/** The actions on a lane, each with what it will do, its call and its command. */
import type { TFunction } from "i18next";
import type { Schemas } from "../api/client";
import { sent } from "../api/effects";
import { lanePath } from "../api/queries";
import type { Action } from "./Confirm";
import type { useFigures } from "./figures";

type Lane = Schemas["Lane"];
type Line = Schemas["LaneLine"] | undefined;
type Say = ReturnType<typeof useFigures>;

export const named = ({ group, name }: { group: string; name: string }) => `${group}/${name}`;

export function switched(lane: Lane, line: Line, etag: string | null, t: TFunction, say: Say): Action {
  const path = lanePath(lane.group, lane.name);
  const enabled = !lane.enabled;
  return {
    title: enabled ? t("actions.enable") : t("actions.disable"),
    says: enabled
      ? t("actions.enableSays", { lane: lane.name, share: lane.ratio ? say.percent(lane.ratio.percent) : t("overview.byRule") })
      : t("actions.disableSays", { lane: lane.name, qps: say.rate(line?.qps), share: say.part(line?.share) }),
    call: { method: "PATCH", path, body: { enabled }, match: etag ?? undefined },
    command: `laneway lane ${enabled ? "enable" : "disable"} ${lane.name}`,
    documents: [{ ...sent(lane), enabled }],
    danger: !enabled,
  };
}

export function deleted(lane: Lane, line: Line, etag: string | null, t: TFunction, say: Say): Action {
  return {
    title: t("actions.delete"),
    says: t("actions.deleteSays", { lane: lane.name, qps: say.rate(line?.qps), share: say.part(line?.share) }),
    call: { method: "DELETE", path: lanePath(lane.group, lane.name), match: etag ?? undefined },
    command: `laneway delete lane ${lane.name}`,
    danger: true,
  };
}

export function promotion(what: "promote" | "finish" | "rollback", group: string, lane: string, t: TFunction): Action {
  return {
    title: t(`actions.${what}`),
    says: t(`actions.${what}Says`, { group, lane }),
    call: { method: "POST", path: `/v1/lane-groups/${encodeURIComponent(group)}/${what}`, ...(what === "promote" && { body: { lane } }) },
    command: what === "promote" ? `laneway promote ${group} ${lane}` : `laneway ${what} ${group}`,
    danger: what === "rollback",
    ...(what === "finish" && { force: "force=true" }),
  };
}
