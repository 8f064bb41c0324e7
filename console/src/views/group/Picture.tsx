/** The group as tracks from the gateway through its applications. */
import "@xyflow/react/dist/style.css";
import { Badge, Paper, Text, useComputedColorScheme } from "@mantine/core";
import { useElementSize, useReducedMotion } from "@mantine/hooks";
import { Controls, type Edge, Handle, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { useConnection } from "../../api/live";
import { useFigures } from "../../parts/figures";
import { GATEWAY, HEIGHT, WIDTH, layout, stopId } from "./layout";
import type { Stop, Track } from "./model";

type StopNode = Node<{ stop: Stop; promoted: boolean; lost: boolean }, "stop">;
type EntryNode = Node<{ name: string; qps: string }, "entry">;

const box = { width: WIDTH, height: HEIGHT, overflow: "hidden" } as const;
/** Tracks are told apart by their labels and by the pattern of their lines. */
const PATTERNS = ["0", "8 4", "2 4", "12 4 2 4", "4 2"];

function StopBox({ data: { stop, promoted, lost } }: NodeProps<StopNode>) {
  const { t } = useTranslation();
  const dead = stop.unhealthy > 0 || stop.serving === "nobody";
  return (
    <Paper withBorder px={8} py={4} style={{ ...box, borderStyle: stop.serving === "lane" || stop.lane === null ? "solid" : "dashed", borderWidth: dead ? 3 : 1 }}>
      <Handle type="target" position={Position.Left} isConnectable={false} style={{ opacity: 0 }} />
      <Text size="xs" fw={700} truncate>{stop.application}</Text>
      <Text size="xs" truncate>{stop.lane ?? (promoted ? t("group.basePromoted") : t("effect.base"))}</Text>
      <Text size="xs" truncate>
        {stop.serving === "nobody"
          ? t("group.refused")
          : stop.lane !== null && stop.serving === "base"
            ? t("group.fallsBack")
            : t("group.instances", { count: stop.instances })}
        {stop.unhealthy > 0 && ` ▲ ${t("group.dead", { count: stop.unhealthy })}`}
        {lost && stop.lane === null && ` ◆ ${t("group.losesColour")}`}
      </Text>
      <Handle type="source" position={Position.Right} isConnectable={false} style={{ opacity: 0 }} />
    </Paper>
  );
}

function EntryBox({ data }: NodeProps<EntryNode>) {
  const { t } = useTranslation();
  return (
    <Paper withBorder px={8} py={4} style={box}>
      <Text size="xs" fw={700} truncate>{data.name}</Text>
      <Text size="xs">{t("overview.gateway")}</Text>
      <Text size="xs">{data.qps}</Text>
      <Handle type="source" position={Position.Right} isConnectable={false} style={{ opacity: 0 }} />
    </Paper>
  );
}

const nodeTypes = { stop: StopBox, entry: EntryBox };

const READABLE = 0.5; // the smallest zoom at which texts can be read
const READABLE_AT = 0.85;

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

  const nodes: Node[] = [{ id: GATEWAY, type: "entry", position: places.get(GATEWAY) ?? { x: 0, y: 0 }, data: { name: gateway, qps: gatewayQps } }];
  const edges: Edge[] = [];
  tracks.forEach(({ lane, stops }, row) => {
    const name = lane?.name ?? null;
    let before = GATEWAY;
    for (const stop of stops) {
      const id = stopId(name, stop.application);
      nodes.push({ id, type: "stop", position: places.get(id) ?? { x: 0, y: 0 }, data: { stop, promoted: Boolean(promoted), lost: losing.has(stop.application) } });
      const failing = (stop.errors ?? 0) > 0.01;
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
          type: "default",
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
        minZoom={0.05}
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
      </ReactFlow>
    </div>
  );
}
