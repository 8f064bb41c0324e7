/** What a group looks like as tracks: base and each lane, through the applications in their order. Pure. */
import type { TFunction } from "i18next";
import type { Schemas } from "../../api/client";
import type { Summary } from "../../api/queries";

export type Serving = "lane" | "base" | "nobody";
export type Life = "moving" | "idle" | "unknown";

/** One track at one application. */
export interface Stop {
  application: string;
  lane: string | null;
  /** Who serves the track here: its own instances, base in their place, or nobody (503). */
  serving: Serving;
  instances: number;
  /** Instances of which the registry says so. */
  unhealthy: number;
  /** Instances that proxies leave out, because they do not answer. */
  leftOut: number;
  qps: number | null;
  errors: number | null;
  /** Requests per minute that base answered although instances of the lane are there. */
  fallbacks: number;
  life: Life;
}

export interface Track {
  lane: Schemas["Lane"] | null;
  stops: Stop[];
}

export interface Seen {
  group: Schemas["LaneGroup"];
  lanes: Schemas["Lane"][];
  matches: Map<string, Schemas["Matches"]>;
  /** Who serves base, where no lane is drawn that says it. */
  bare: Schemas["Matches"] | undefined;
  traffic: Map<string, Schemas["LaneTraffic"]>;
  summary: Summary | undefined;
}

/** The applications that are shown: those whose names have `filter`; of these, if `special`, those in which a lane has
 * instances of its own, or something is wrong.
 */
export function shownOf(applications: readonly string[], tracks: Track[], losing: ReadonlySet<string>, { special, filter }: { special: boolean; filter: string }): Set<string> {
  const wanted = new Set(losing);
  for (const one of tracks.flatMap((track) => track.stops))
    if (one.unhealthy + one.leftOut > 0 || (one.lane !== null && (one.serving !== "base" || one.fallbacks > 0))) wanted.add(one.application);
  return new Set(applications.filter((one) => one.includes(filter.trim()) && (!special || wanted.has(one))));
}

/** Who answers a track at an application, in words. */
export function servedBy(stop: Stop, t: TFunction): string {
  if (stop.serving === "nobody") return t("group.refused");
  return stop.lane !== null && stop.serving === "base" ? t("group.fallsBack") : t("group.instances", { count: stop.instances });
}

/** What is wrong there, in words; a lost lane is told once, at base. */
export function troublesOf(stop: Stop, lost: boolean, t: TFunction): string[] {
  const said: string[] = [];
  if (stop.unhealthy > 0) said.push(`▲ ${t("group.dead", { count: stop.unhealthy })}`);
  if (stop.leftOut > 0) said.push(`▲ ${t("group.leftOutBy", { count: stop.leftOut })}`);
  if (lost && stop.lane === null) said.push(`◆ ${t("group.losesColour")}`);
  return said;
}

const lifeOf = (qps: number | null): Life => (qps === null ? "unknown" : qps > 0 ? "moving" : "idle");

export function tracksOf({ group, lanes, matches, bare, traffic, summary }: Seen): Track[] {
  const heard = (summary?.proxies.reporting ?? 0) > 0;
  const first = lanes[0];
  const base: Track = {
    lane: null,
    stops: group.applications.map((application) => {
      const line = summary?.applications.find((one) => one.application === application);
      const qps = line ? Math.max(0, line.qps - line.gray_qps) : heard ? 0 : null;
      const services = (first ? matches.get(first.name) : bare)?.applications.find((one) => one.application === application)?.services ?? [];
      return {
        application,
        lane: null,
        serving: "base",
        instances: services.reduce((sum, one) => sum + one.base, 0),
        unhealthy: services.reduce((sum, one) => sum + (one.base_unhealthy ?? 0), 0),
        leftOut: 0,
        qps,
        errors: line?.qps ? line.exception_qps / line.qps : null,
        fallbacks: 0,
        life: lifeOf(qps),
      };
    }),
  };
  return [base, ...lanes.map((lane) => trackOf(group, lane, matches.get(lane.name), traffic.get(lane.name), heard))];
}

function trackOf(
  group: Schemas["LaneGroup"],
  lane: Schemas["Lane"],
  matches: Schemas["Matches"] | undefined,
  traffic: Schemas["LaneTraffic"] | undefined,
  heard: boolean,
): Track {
  return {
    lane,
    stops: group.applications.map((application) => {
      const services = matches?.applications.find((one) => one.application === application)?.services ?? [];
      const counted = (traffic?.services ?? []).filter((one) => one.application === application);
      const requests = counted.reduce((sum, one) => sum + one.lane.requests, 0);
      const qps = traffic && heard ? counted.reduce((sum, one) => sum + one.lane.qps, 0) : null;
      const refused = services.some((one) => one.refused);
      const falls = services.length === 0 || services.some((one) => one.fallback);
      return {
        application,
        lane: lane.name,
        serving: refused ? "nobody" : falls ? "base" : "lane",
        instances: services.reduce((sum, one) => sum + one.tagged.length, 0),
        unhealthy: services.reduce((sum, one) => sum + (one.unhealthy ?? []).length, 0),
        leftOut: services.reduce((sum, one) => sum + (one.observed?.ejected ?? 0), 0),
        qps,
        errors: requests ? counted.reduce((sum, one) => sum + one.lane.exceptions, 0) / requests : null,
        fallbacks: falls ? 0 : services.reduce((sum, one) => sum + (one.observed?.fallbacks ?? 0), 0),
        life: lifeOf(qps),
      };
    }),
  };
}
