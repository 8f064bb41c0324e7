/** The queries that give the console's figures in the user's own Prometheus, from the control plane's `/metrics`. */

const FAILED = 'result=~"server_error|reset"';

function selector(labels: Record<string, string>, more: string[]): string {
  const all = [...Object.entries(labels).map(([name, value]) => `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`), ...more];
  return all.length ? `{${all.join(",")}}` : "";
}

interface Asked {
  /** Which series count. */
  labels?: Record<string, string>;
  /** One value for each of these labels; without them one value. */
  by?: string[];
  /** Only what edges count. */
  edges?: boolean;
  window?: string;
}

const over = (metric: string, { labels = {}, by = [], edges = false, window = "1m" }: Asked, more: string[] = []) =>
  `sum${by.length ? ` by (${by.join(", ")})` : ""} (rate(${metric}${selector(labels, edges ? [...more, 'gateway!=""'] : more)}[${window}]))`;

export const promql = {
  qps: (asked: Asked) => over("laneway_requests_total", asked),
  exceptions: (asked: Asked) => over("laneway_requests_total", asked, [FAILED]),
  /** A part of one. */
  errors: (asked: Asked) => `${over("laneway_requests_total", asked, [FAILED])} / ${over("laneway_requests_total", asked)}`,
  /** In milliseconds. */
  latency: (quantile: number, asked: Asked) =>
    `1000 * histogram_quantile(${quantile}, ${over("laneway_request_duration_seconds_bucket", { ...asked, by: ["le", ...(asked.by ?? [])] })})`,
  fallbacks: (asked: Asked) => over("laneway_fallbacks_total", asked),
  refusals: (asked: Asked) => over("laneway_refusals_total", asked),
  /** Of the requests at the edges of a gateway, the part of each lane. */
  share: (gateway: string) => {
    const labels = { gateway };
    return `${over("laneway_requests_total", { labels, by: ["lane"] })} / ignoring (lane) group_left ${over("laneway_requests_total", { labels })}`;
  },
  /** The same of every gateway. */
  shares: () => {
    const of = (by: string[]) => over("laneway_requests_total", { by, edges: true });
    return `${of(["gateway", "lane"])} / ignoring (lane) group_left ${of(["gateway"])}`;
  },
};
