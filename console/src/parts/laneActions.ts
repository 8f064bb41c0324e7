/** The actions on lanes and groups, each with what it will do, its call and its command. */
import type { TFunction } from "i18next";
import { stringify } from "yaml";
import type { Schemas } from "../api/client";
import { type Document, sent } from "../api/effects";
import { groupPath, lanePath } from "../api/queries";
import type { Action, Choice } from "./Confirm";
import type { useFigures } from "./figures";

type Lane = Schemas["Lane"];
type Line = Schemas["LaneLine"] | undefined;
type Say = ReturnType<typeof useFigures>;

export interface Seen {
  lane: Lane;
  etag: string | null;
  line: Line;
  /** The release that moves the lane's shares now. */
  release: Schemas["Release"] | undefined;
}

export const force = (t: TFunction): Choice => ({ label: t("effect.force"), parameter: "force", option: "--force", when: "refused" });
export const replaceBase = (t: TFunction): Choice => ({ label: t("deployments.replace"), parameter: "replace_base", option: "--replace-base", when: "replaceable" });
export const takeOver = (t: TFunction): Choice => ({ label: t("effect.takeOver"), parameter: "take_over", option: "--take-over", when: "kept" });

/** The command that stores a document. */
export const applies = (document: Document) => (options: string) => `laneway apply${options} -f - <<'EOF'\n${stringify(document)}EOF`;

export function switched({ lane, etag, line, release }: Seen, t: TFunction, say: Say): Action {
  const enabled = !lane.enabled;
  const share = lane.ratio ? say.percent(lane.ratio.percent) : t("overview.byRule");
  const disables = t("actions.disableSays", { lane: lane.name, qps: say.rate(line?.qps), share: say.part(line?.share) });
  return {
    title: enabled ? t("actions.enable") : t("actions.disable"),
    says: enabled ? t("actions.enableSays", { lane: lane.name, share }) : release ? `${disables} ${t("actions.stopsRelease", { release: release.name })}` : disables,
    call: { method: "POST", path: `${lanePath(lane.group, lane.name)}/${enabled ? "enable" : "disable"}`, match: etag ?? undefined },
    command: `laneway lane ${enabled ? "enable" : "disable"} ${lane.name}`,
    documents: [{ ...sent(lane), enabled }],
    danger: !enabled,
    ...(enabled && { choices: [{ label: t("actions.ttl"), parameter: "ttl", option: "--ttl", text: { placeholder: "2h" }, when: "always" as const }] }),
  };
}

export function deleted({ lane, etag, line }: Seen, t: TFunction, say: Say): Action {
  return {
    title: t("actions.delete"),
    says: t("actions.deleteSays", { lane: lane.name, qps: say.rate(line?.qps), share: say.part(line?.share) }),
    call: { method: "DELETE", path: lanePath(lane.group, lane.name), match: etag ?? undefined },
    command: `laneway delete lane ${lane.name}`,
    trial: { method: "POST", path: "/v1/delete?dry_run=true", body: { kind: "Lane", group: lane.group, name: lane.name } },
    danger: true,
  };
}

export function groupDeleted(group: Schemas["LaneGroup"], etag: string | null, lanes: Lane[], qps: number | undefined, t: TFunction, say: Say): Action {
  return {
    title: t("actions.deleteGroup"),
    says: t("actions.deleteGroupSays", { group: group.name, count: lanes.length, qps: say.rate(qps) }),
    call: { method: "DELETE", path: groupPath(group.name), match: etag ?? undefined },
    command: `laneway delete lane-group ${group.name}`,
    trial: { method: "POST", path: "/v1/delete?dry_run=true", body: { kind: "LaneGroup", name: group.name } },
    danger: true,
  };
}

export function promotion(what: "promote" | "finish" | "rollback", group: string, lane: string, etag: string | null, t: TFunction): Action {
  const path = `${groupPath(group)}/${what}`;
  const body = what === "promote" ? { body: { lane } } : {};
  return {
    title: t(`actions.${what}`),
    says: t(`actions.${what}Says`, { group, lane }),
    call: { method: "POST", path, ...body, match: etag ?? undefined },
    trial: { method: "POST", path: `${path}?dry_run=true`, ...body },
    command: what === "promote" ? `laneway promote ${group} ${lane}` : `laneway ${what} ${group}`,
    danger: what === "rollback",
    ...(what === "finish" && { choices: [replaceBase(t), force(t)] }),
  };
}

/** The canaries of a lane that nobody uses any more. */
export function scaledDown(group: string, lane: string, t: TFunction): Action {
  const path = `${lanePath(group, lane)}/scale-down`;
  return {
    title: t("deployments.scaleDown"),
    says: t("deployments.scaleDownSays", { lane }),
    call: { method: "POST", path },
    trial: { method: "POST", path: `${path}?dry_run=true` },
    command: `laneway lane scale-down ${lane}`,
    danger: true,
  };
}
