/** The actions on a release, each with what it will do, its dry run, its call and its command. */
import type { TFunction } from "i18next";
import type { Schemas } from "../../api/client";
import { releasePath } from "../../api/queries";
import type { Action } from "../../parts/Confirm";
import type { useFigures } from "../../parts/figures";
import { force } from "../../parts/laneActions";

const ACTIONS = ["start", "pause", "resume", "approve", "abort"] as const;
export type Verb = (typeof ACTIONS)[number];

export const possible = (phase: string | undefined): Verb[] =>
  phase === "running" ? ["pause", "abort"] : phase === "starting" ? ["abort"] : phase === "paused" ? ["resume", "abort"] : phase === "waiting" ? ["approve", "pause", "abort"] : ["start"];

/** Why the caller's approval is of no use now, as a key of the texts. */
export function cannotApprove({ steps, progress }: Schemas["Release"], name: string): "approvedByYou" | "startedByYou" | null {
  const step = progress && steps[progress.step];
  if (!step || progress.phase !== "waiting") return null;
  if (name && progress.approvers?.includes(name)) return "approvedByYou";
  return name && step.by_others && progress.by === name ? "startedByYou" : null;
}

interface Seen {
  release: Schemas["Release"];
  lane: Schemas["Lane"] | undefined;
  line: Schemas["LaneLine"] | undefined;
  etag: string | null;
}

export function acted(verb: Verb, { release, lane, line, etag }: Seen, t: TFunction, say: ReturnType<typeof useFigures>): Action {
  const { progress } = release;
  const path = `${releasePath(release.group, release.name)}/${verb}`;
  const step = release.steps[progress?.step ?? 0];
  const missing = verb === "approve" && step?.persons ? step.persons - (progress?.approvers?.length ?? 0) - 1 : 0;
  return {
    title: t(`releases.${verb}`),
    says: t(missing > 0 ? "releases.approveOneSays" : `releases.${verb}Says`, {
      count: missing,
      lane: release.lane,
      share: say.percent(verb === "start" ? release.steps[0]?.percent : lane?.ratio?.percent),
      next: say.percent(release.steps[(progress?.step ?? 0) + 1]?.percent ?? progress?.target.percent),
      qps: say.rate(line?.qps),
    }),
    call: { method: "POST", path, match: etag ?? undefined },
    trial: { method: "POST", path: `${path}?dry_run=true` },
    command: `laneway release ${verb} ${release.name}`,
    danger: verb === "abort",
    ...(verb === "start" && { choices: [force(t)] }),
  };
}

export function releaseDeleted(release: Schemas["Release"], etag: string | null, t: TFunction): Action {
  return {
    title: t("releases.delete"),
    says: t("releases.deleteSays", { release: release.name, lane: release.lane }),
    call: { method: "DELETE", path: releasePath(release.group, release.name), match: etag ?? undefined },
    trial: { method: "POST", path: "/v1/delete?dry_run=true", body: { kind: "Release", group: release.group, name: release.name } },
    command: `laneway delete release ${release.name}`,
    danger: true,
  };
}
