/** Where things stand. It follows from applications and lanes alone, so nothing moves while figures change. */
import dagre from "@dagrejs/dagre";

export const WIDTH = 168;
export const HEIGHT = 66;
export interface Place {
  x: number;
  y: number;
}

export const stopId = (lane: string | null, application: string) => JSON.stringify([lane, application]);
export const GATEWAY = "gateway";

export function layout(applications: readonly string[], lanes: readonly (string | null)[]): Map<string, Place> {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 34, ranksep: 96, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  const node = { width: WIDTH, height: HEIGHT };
  graph.setNode(GATEWAY, { ...node });
  for (const lane of [...lanes].reverse()) { // dagre puts what comes last on top
    let before = GATEWAY;
    for (const application of applications) {
      const id = stopId(lane, application);
      graph.setNode(id, { ...node });
      graph.setEdge(before, id);
      before = id;
    }
  }
  dagre.layout(graph);
  return new Map(
    graph.nodes().map((id) => {
      const { x, y } = graph.node(id) as Place;
      return [id, { x: x - WIDTH / 2, y: y - HEIGHT / 2 }];
    }),
  );
}
