import { useSuspenseQuery } from "@tanstack/react-query";
import { session } from "./queries";

/** What the caller may do; the server checks it again. */
export function useRights() {
  const { data } = useSuspenseQuery(session);
  return { name: data.name, admin: data.admin, signedIn: data.signed_in, operates: (group: string) => data.admin || data.groups.includes(group) };
}
