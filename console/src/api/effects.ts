/** What a change would do, asked of the server without doing it. */
import { type Schemas, call } from "./client";

export type Document = Record<string, unknown>;
export type Applied = Schemas["Applied"];

/** A document as it is sent: without what the control plane adds. */
export function sent(document: object): Document {
  const { status: _, ...rest } = document as Document;
  return rest;
}

export async function effectOf(documents: Document[]): Promise<Applied> {
  return (await call<Applied>({ method: "POST", path: "/v1/apply?dry_run=true", body: documents })).data;
}
