/** The group as tracks from the gateway through its applications. */
import "@xyflow/react/dist/style.css";
import { Badge, useComputedColorScheme } from "@mantine/core";
import { useElementSize, useReducedMotion } from "@mantine/hooks";
import { Controls, type Edge, Handle, MarkerType, MiniMap, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import { memo, useMemo } from "react";
import { useTranslation } from "react-i18next";
import { useConnection } from "../../api/live";
import { useFigures } from "../../parts/figures";
import { WORSE_ERRORS } from "../overview/problems";
import { GATEWAY, HEIGHT, WIDTH, layout, stopId } from "./layout";
import { type Stop, type Track, servedBy, troublesOf } from "./model";

type StopNode = Node<{ stop: Stop; promoted: boolean; lost: boolean }, "stop">;
type EntryNode = Node<{ name: string; qps: string }, "entry">;

/** Tracks are told apart by their labels and by the pattern of their lines. */
const PATTERNS = ["0", "8 4", "2 4", "12 4 2 4", "4 2"];

const END = { width: 1, height: 1 };
/** Where fallbacks leave a box of a lane and reach that of base: as far from the left, so that they go straight up. */
const ups = [24, 54, 84, 114, 144];
const end = (type: "source" | "target") => ({ ...END, type, position: type === "source" ? Position.Right : Position.Left, x: type === "source" ? WIDTH : 0, y: HEIGHT / 2 });
/** Sizes and the ends of lines are known: nothing of a thousand boxes has to be measured before it is drawn. */
const known = {
  width: WIDTH,
  height: HEIGHT,
  handles: [
    end("target"),
    end("source"),
    ...ups.flatMap((x) => [
      { ...END, id: `up${x}`, type: "source" as const, position: Position.Top, x, y: 0 },
      { ...END, id: `from${x}`, type: "target" as const, position: Position.Bottom, x, y: HEIGHT },
    ]),
  ],
};
const upOf = (row: number) => ups[row % ups.length] ?? 24;

function Ends({ base }: { base?: boolean }) {
  return (
    <>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <Handle type="source" position={Position.Right} isConnectable={false} />
      {ups.map((x) => (
        <Handle key={x} id={base ? `from${x}` : `up${x}`} type={base ? "target" : "source"} position={base ? Position.Bottom : Position.Top} isConnectable={false} style={{ left: x }} />
      ))}
    </>
  );
}

const StopBox = memo(function StopBox({ data: { stop, promoted, lost } }: NodeProps<StopNode>) {
  const { t } = useTranslation();
  const said = troublesOf(stop, lost, t);
  const own = stop.lane === null || stop.serving === "lane";
  return (
    <div className="stop" data-own={own} data-wrong={said.length > 0}>
      <Ends base={stop.lane === null} />
      <b>{stop.application}</b>
      <span>{stop.lane ?? (promoted ? t("group.basePromoted") : t("effect.base"))}</span>
      <span title={said.join(", ")}>{[servedBy(stop, t), ...said].join(" ")}</span>
    </div>
  );
}, same);

/** Whether what a box shows is what it showed: data are made anew with every figure. */
function same(one: NodeProps<StopNode>, other: NodeProps<StopNode>): boolean {
  return JSON.stringify(one.data) === JSON.stringify(other.data);
}

function EntryBox({ data }: NodeProps<EntryNode>) {
  const { t } = useTranslation();
  return (
    <div className="stop" data-own>
      <Ends />
      <b>{data.name}</b>
      <span>{t("overview.gateway")}</span>
      <span>{data.qps}</span>
    </div>
  );
}

const nodeTypes = { stop: StopBox, entry: EntryBox };

const READABLE = 0.5; // the smallest zoom at which texts can be read
const READABLE_AT = 0.85;
const WIDE_ENOUGH = 700; // pixels, for a map of the whole in a corner

/** In the map of the whole: what is wrong, what the lane serves itself, and the rest. */
function colourOf(node: Node): string {
  if (node.type !== "stop") return "var(--mantine-color-blue-7)";
  const { stop, lost } = node.data as StopNode["data"];
  if (stop.unhealthy + stop.leftOut > 0 || stop.serving === "nobody" || lost) return "var(--mantine-color-red-7)";
  return stop.lane !== null && stop.serving === "lane" ? "var(--mantine-color-blue-7)" : "var(--mantine-color-gray-5)";
}

interface Props {
  gateway: string;
  gatewayQps: string;
  tracks: Track[];
  promoted: string | null | undefined;
  /** Applications that were seen to lose the lane. */
  losing: ReadonlySet<string>;
}

export function Picture({ gateway, gatewayQps, tracks, promoted, losing }: Props) {
  const { t } = useTranslation();
  const say = useFigures();
  const scheme = useComputedColorScheme("light");
  const still = useReducedMotion();
  const stale = useConnection() === "lost";
  const applications = tracks[0]?.stops.map((one) => one.application) ?? [];
  const shape = JSON.stringify([applications, tracks.map((one) => one.lane?.name ?? null)]);
  const places = useMemo(() => {
    const [columns, rows] = JSON.parse(shape) as [string[], (string | null)[]];
    return layout(columns, rows);
  }, [shape]);

  const nodes: Node[] = [{ ...known, id: GATEWAY, type: "entry", position: places.get(GATEWAY) ?? { x: 0, y: 0 }, data: { name: gateway, qps: gatewayQps } }];
  const edges: Edge[] = [];
  tracks.forEach(({ lane, stops }, row) => {
    const name = lane?.name ?? null;
    let before = GATEWAY;
    for (const stop of stops) {
      const id = stopId(name, stop.application);
      nodes.push({ ...known, id, type: "stop", position: places.get(id) ?? { x: 0, y: 0 }, data: { stop, promoted: Boolean(promoted), lost: losing.has(stop.application) } });
      const failing = (stop.errors ?? 0) > WORSE_ERRORS;
      const words = [say.rate(stop.qps), stop.errors === null ? "" : `${failing ? "▲ " : ""}${say.part(stop.errors)}`];
      edges.push({
        id: `${before}>${id}`,
        source: before,
        target: id,
        type: "straight",
        label: words.filter(Boolean).join(" · "),
        animated: !still && !stale && stop.life === "moving",
        style: {
          strokeWidth: stop.life === "moving" ? 2.5 : 1,
          strokeDasharray: stop.life === "unknown" ? "1 6" : PATTERNS[row % PATTERNS.length],
          stroke: failing ? "var(--mantine-color-red-7)" : stop.life === "moving" ? "var(--mantine-color-blue-7)" : "var(--mantine-color-gray-6)",
        },
      });
      if (name !== null && (stop.serving === "base" || stop.fallbacks > 0)) {
        edges.push({
          id: `${id}>base`,
          source: id,
          target: stopId(null, stop.application),
          sourceHandle: `up${upOf(row)}`,
          targetHandle: `from${upOf(row)}`,
          type: "straight",
          markerEnd: { type: MarkerType.ArrowClosed, color: "var(--mantine-color-orange-7)" },
          label: stop.fallbacks > 0 ? t("group.observedFallbacks", { count: stop.fallbacks }) : t("group.toBase"),
          style: { strokeDasharray: "6 4", stroke: "var(--mantine-color-orange-7)" },
        });
      }
      before = id;
    }
  });
  // What would be too small to read when all of it is seen begins at the gateway, and is moved.
  const { ref: place, width } = useElementSize();
  const wide = Math.max(...[...places.values()].map((one) => one.x)) + WIDTH;
  const tall = Math.max(...[...places.values()].map((one) => one.y)) + HEIGHT;
  const height = Math.min(720, Math.max(260, tracks.length * (HEIGHT + 34) + 80));
  const fits = width === 0 || Math.min(width / wide, height / tall) > READABLE;
  return (
    <div ref={place} style={{ height, position: "relative" }} role="group" aria-label={t("group.picture")} data-picture>
      {stale && <Badge color="red" pos="absolute" style={{ zIndex: 5, right: 8, top: 8 }}>{t("group.stale")}</Badge>}
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        colorMode={scheme}
        key={`${shape} ${fits}`}
        fitView={fits}
        defaultViewport={{ x: 0, y: 16, zoom: READABLE_AT }}
        minZoom={READABLE / 2}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        onlyRenderVisibleElements={nodes.length > 200}
        preventScrolling={false}
        style={{ opacity: stale ? 0.5 : 1 }}
      >
        <Controls showInteractive={false} />
        {!fits && width > WIDE_ENOUGH && <MiniMap pannable ariaLabel={t("group.map")} nodeColor={colourOf} nodeStrokeColor={colourOf} bgColor="var(--mantine-color-body)" />}
      </ReactFlow>
    </div>
  );
}
