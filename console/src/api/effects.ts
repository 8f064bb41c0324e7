/** What a change would do, asked of the server without doing it. */
import { type Schemas, call } from "./client";

export type Document = Record<string, unknown>;

/** What a dry run tells, of whatever action. */
export type Told = Partial<Pick<Schemas["Applied"], "changes" | "moves" | "warnings" | "kept">> &
  Partial<Pick<Schemas["Deleted"], "deleted">> &
  Partial<Pick<Schemas["Promotion"], "applications" | "refused" | "tag" | "problems" | "waiting" | "can_replace_base">> & {
    /** Of a dry run that has one. */
    etag?: string | null;
    /** Of a promotion, or of scaling down. */
    deployments?: (Schemas["DeploymentPair"] | Schemas["Scaled"])[];
  };

/** A document as it is sent: without what the control plane adds. */
export function sent(document: object): Document {
  const { status: _, ...rest } = document as Document;
  return rest;
}

/** The path with parameters, of which the empty ones are left out. */
export function withParameters(path: string, parameters: Record<string, string>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  if (given.length === 0) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams(given)}`;
}

export async function effectOf(documents: Document[], parameters: Record<string, string> = {}): Promise<Told> {
  const { take_over = "" } = parameters;
  return (await call<Told>({ method: "POST", path: withParameters("/v1/apply?dry_run=true", { take_over }), body: documents })).data;
}
