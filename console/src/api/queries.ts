/** What the views ask for. Everything below the key `documents` is asked again when the server says that it changed. */
import { queryOptions, skipToken } from "@tanstack/react-query";
import { type Answered, type Schemas, call, client, told } from "./client";

export type Summary = Schemas["TrafficSummary"];
export type Session = Schemas["Session"];

const DOCUMENTS = "documents";
export const documentsKey = [DOCUMENTS] as const;
const MEASURED = 5_000; // proxies report every five seconds

/** All of a collection. Its description also has the events of a watch, for which a generated type is of no use. */
const items = async <T>(path: string) => (await call<{ items: T[] }>({ method: "GET", path })).data.items;

export const session = queryOptions({
  queryKey: ["session"],
  queryFn: () => told(client.GET("/v1/session")),
  retry: false,
  staleTime: Number.POSITIVE_INFINITY,
});

/** Written by the event stream alone. Where no proxy reports, nothing is known: 0 would say that there are no requests. */
export const summaryKey = ["summary"] as const;
export const summary = queryOptions<Summary>({
  queryKey: summaryKey,
  queryFn: skipToken,
  select: (told) => (told.proxies.reporting > 0 ? told : { ...told, gateways: [], applications: [], lanes: [] }),
});

export const gateways = queryOptions({
  queryKey: [DOCUMENTS, "gateways"],
  queryFn: () => items<Schemas["Gateway"]>("/v1/gateways"),
});
export const routes = queryOptions({
  queryKey: [DOCUMENTS, "routes"],
  queryFn: () => items<Schemas["Route"]>("/v1/routes"),
});
export const groups = queryOptions({
  queryKey: [DOCUMENTS, "groups"],
  queryFn: () => items<Schemas["LaneGroup"]>("/v1/lane-groups"),
});
export const lanes = queryOptions({
  queryKey: [DOCUMENTS, "lanes"],
  queryFn: () => items<Schemas["Lane"]>("/v1/lanes"),
});
export const releases = queryOptions({
  queryKey: [DOCUMENTS, "releases"],
  queryFn: () => items<Schemas["Release"]>("/v1/releases"),
});
export const freezes = queryOptions({
  queryKey: [DOCUMENTS, "freezes"],
  queryFn: () => items<Schemas["Freeze"]>("/v1/freezes"),
});
export const warnings = queryOptions({
  queryKey: [DOCUMENTS, "warnings"],
  queryFn: () => told(client.GET("/v1/warnings")),
});
export const services = queryOptions({
  queryKey: [DOCUMENTS, "services"],
  queryFn: async () => (await call<Schemas["Services"]>({ method: "GET", path: "/v1/services" })).data,
});
const MOST_REVISIONS = 1000; // the server gives no more at one time
export const revisions = queryOptions({
  queryKey: [DOCUMENTS, "revisions"],
  queryFn: () => items<Schemas["Revision"]>(`/v1/revisions?limit=${MOST_REVISIONS}`),
});
export const proxies = queryOptions({
  queryKey: ["proxies"],
  queryFn: () => items<Schemas["Proxy"]>("/v1/proxies"),
  refetchInterval: MEASURED,
});
/** Answered with 503, and the same fields, while the server is not ready. */
export const ready = queryOptions({
  queryKey: [DOCUMENTS, "ready"],
  queryFn: async () => {
    const { data, error } = await client.GET("/readyz");
    return (data ?? error) as { store: Schemas["Store"]; sources: Schemas["Source"][] };
  },
  refetchInterval: MEASURED,
});

const at = (...parts: string[]) => parts.map(encodeURIComponent).join("/");
export const groupPath = (group: string) => `/v1/lane-groups/${at(group)}`;
/** The view of a group that shows this lane alone. */
export const focused = (lane: { group: string; name: string }) => `/groups/${at(lane.group)}?lane=${encodeURIComponent(JSON.stringify(lane.name))}`;
export const lanePath = (group: string, lane: string) => `${groupPath(group)}/lanes/${at(lane)}`;
export const releasePath = (group: string, release: string) => `${groupPath(group)}/releases/${at(release)}`;

export const freezePath = (freeze: string) => `/v1/freezes/${at(freeze)}`;

/** One document with the entity tag that a change of it has to name. */
export const document = <T>(path: string) =>
  queryOptions({
    queryKey: [DOCUMENTS, "one", path],
    queryFn: () => call<T>({ method: "GET", path }) as Promise<Answered<T>>,
  });

export const laneMatches = (group: string, lane: string) =>
  queryOptions({
    queryKey: [DOCUMENTS, "matches", group, lane],
    queryFn: async () => (await call<Schemas["Matches"]>({ method: "GET", path: `${lanePath(group, lane)}/matches` })).data,
    refetchInterval: MEASURED,
  });

export const tagMatches = (group: string, tag: string) =>
  queryOptions({
    queryKey: [DOCUMENTS, "matches of tag", group, tag],
    queryFn: async () =>
      (await call<Schemas["Matches"]>({ method: "GET", path: `${groupPath(group)}/matches?tag=${encodeURIComponent(tag)}` })).data,
    retry: false,
  });

/** The last ten seconds of a lane, service by service. */
export const recentLaneTraffic = (lane: string) => laneTraffic(lane, "10s");

/** What the last observation found of applications that lose the lane. */
export const propagation = queryOptions({
  queryKey: ["propagation"],
  queryFn: () => told(client.GET("/v1/propagation")),
  refetchInterval: 30_000,
});

export const laneTraffic = (lane: string, window = "5m") =>
  queryOptions({
    queryKey: ["traffic", "lane", lane, window],
    queryFn: () =>
      told(client.GET("/v1/metrics/lanes/{lane}", { params: { path: { lane }, query: { window, step: "5s" } } })),
    refetchInterval: MEASURED,
  });
