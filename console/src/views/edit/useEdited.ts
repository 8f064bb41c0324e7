import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type Document, sent } from "../../api/effects";
import { document } from "../../api/queries";

/** The document that is edited, as it was at the beginning, and as it is now: what somebody else changes meanwhile is
 * shown, and refused when it is saved, not overwritten. */
export function useEdited<T extends object>(path: string | null) {
  const queries = useQueryClient();
  const queryKey = ["edited", path ?? ""];
  const begun = useQuery({
    ...document<T>(path ?? ""),
    queryKey,
    enabled: path !== null,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  const now = useQuery({ ...document<T>(path ?? ""), enabled: path !== null });
  const stored: Document | undefined = now.data && begun.data ? sent(now.data.data) : undefined;
  return {
    begun: begun.data && { first: sent(begun.data.data), match: begun.data.etag, at: begun.dataUpdatedAt },
    error: begun.error,
    stored,
    again: () => void queries.invalidateQueries({ queryKey }),
  };
}
