/** The one stream of events: traffic every second, and word of every change, after which what is shown is asked again. */
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, createContext, useContext, useEffect, useState } from "react";
import { documentsKey, session, summaryKey } from "./queries";

export type Connection = "connecting" | "live" | "lost";
const State = createContext<Connection>("connecting");
const Begun = createContext(false);
const SILENT = 5_000; // milliseconds; the server says something every second
const AGAIN = 1_000;
const PATIENCE = 1_000;

export const useConnection = () => useContext(State);
/** Whether the stream tells of changes by now, or is not waited for any longer. What is asked from then on misses none, so
 * that nothing is asked twice.
 */
export const useBegun = () => useContext(Begun);

export function Live({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [state, setState] = useState<Connection>("connecting");
  const [begun, setBegun] = useState(false);

  useEffect(() => {
    const timer = window.setTimeout(() => setBegun(true), PATIENCE);
    return () => window.clearTimeout(timer);
  }, []);

  useEffect(() => {
    let source: EventSource | null = null;
    let timer: number | undefined;

    const close = () => {
      window.clearTimeout(timer);
      source?.close();
      source = null;
    };
    const lost = () => {
      close();
      setState("lost");
      setBegun(true);
      void queries.invalidateQueries({ queryKey: session.queryKey });
      timer = window.setTimeout(open, AGAIN);
    };
    const heard = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(lost, SILENT);
    };
    function open() {
      close();
      source = new EventSource("/v1/metrics/stream");
      heard();
      source.addEventListener("summary", (event) => {
        heard();
        setState("live");
        queries.setQueryData(summaryKey, JSON.parse(event.data));
      });
      source.addEventListener("changed", () => {
        heard();
        setState("live");
        setBegun(true);
        void queries.invalidateQueries({ queryKey: documentsKey });
      });
      source.addEventListener("error", lost);
    }
    // A browser opens six connections to one server for all tabs together: a hidden one needs none.
    const shown = () => (document.hidden ? close() : open());
    shown();
    document.addEventListener("visibilitychange", shown);
    return () => {
      document.removeEventListener("visibilitychange", shown);
      close();
    };
  }, [queries]);

  return (
    <State.Provider value={state}>
      <Begun.Provider value={begun}>{children}</Begun.Provider>
    </State.Provider>
  );
}
