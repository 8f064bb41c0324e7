import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];
/** A part of a document as it is sent: of these fields at least, without what is not said. */
export type Part<T, Needed extends keyof T> = Pick<T, Needed> & { [name in keyof T]?: T[name] };

/** An answer that is a problem (RFC 9457), or no answer at all. */
export class ApiError extends Error {
  readonly problem: Problem | null;
  readonly status: number;
  constructor(status: number, problem: Problem | null, message: string) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

export const client = createClient<paths>({ baseUrl: "" });

let refused: () => void = () => undefined;

/** What to do when the server no longer knows who asks. */
export function whenRefused(what: () => void): void {
  refused = what;
}

function failure(response: Response, body: unknown): ApiError {
  const problem = body && typeof body === "object" && "detail" in body ? (body as Problem) : null;
  if (response.status === 401 && !response.url.endsWith("/v1/session")) refused();
  return new ApiError(response.status, problem, problem?.detail ?? `HTTP ${response.status}`);
}

/** The data of an answer. Throws ApiError. */
export async function told<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) throw failure(response, error);
  return data as T;
}

export interface Call {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  body?: unknown;
  /** The entity tag of what the user saw; the change is refused if something else is stored by now. */
  match?: string | undefined;
  /** The change is refused if there is such a document already. */
  absent?: boolean;
}

export interface Answered<T> {
  data: T;
  etag: string | null;
  status: number;
}

/** A call whose path is made at run time. Throws ApiError. */
export async function call<T>({ method, path, body, match, absent }: Call): Promise<Answered<T>> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  if (match) headers["if-match"] = match;
  if (absent) headers["if-none-match"] = "*";
  const init: RequestInit = { method, headers };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(path, init);
  const text = await response.text();
  let data: unknown;
  try {
    data = text ? JSON.parse(text) : undefined;
  } catch {
    data = undefined;
  }
  if (!response.ok) throw failure(response, data);
  return { data: data as T, etag: response.headers.get("etag"), status: response.status };
}

/** The same call for a shell. token: whether the server asks for one. */
export function curl({ method, path, body, match, absent }: Call, token = false): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  parts.push(quoted(`${window.location.origin}${path}`));
  if (token) parts.push("-H", '"Authorization: Bearer $LANEWAY_TOKEN"');
  if (match) parts.push("-H", quoted(`if-match: ${match}`));
  if (absent) parts.push("-H", quoted("if-none-match: *"));
  if (body !== undefined) {
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    parts.push("-H", quoted(`content-type: ${type}`), "-d", quoted(JSON.stringify(body)));
  }
  return parts.join(" ");
}
