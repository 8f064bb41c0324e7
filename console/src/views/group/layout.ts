/** Where things stand. It follows from applications and lanes alone, so nothing moves while figures change. */
import dagre from "@dagrejs/dagre";

export const WIDTH = 168;
export const HEIGHT = 66;
const BETWEEN_TRACKS = 34;
export interface Place {
  x: number;
  y: number;
}

export const stopId = (lane: string | null, application: string) => JSON.stringify([lane, application]);
export const GATEWAY = "gateway";

/** All tracks have the same applications one after another: what is laid out is one of them, and the others are below it.
 * To lay out all of them as one graph takes more than a second for 50 applications and 20 lanes.
 */
export function layout(applications: readonly string[], lanes: readonly (string | null)[]): Map<string, Place> {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", ranksep: 96, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  let before = GATEWAY;
  graph.setNode(GATEWAY, { width: WIDTH, height: HEIGHT });
  for (const application of applications) {
    const id = stopId(null, application);
    graph.setNode(id, { width: WIDTH, height: HEIGHT });
    graph.setEdge(before, id);
    before = id;
  }
  dagre.layout(graph);
  const corner = (id: string, row: number): Place => {
    const { x, y } = graph.node(id) as Place;
    return { x: x - WIDTH / 2, y: y - HEIGHT / 2 + row * (HEIGHT + BETWEEN_TRACKS) };
  };
  const places = new Map([[GATEWAY, corner(GATEWAY, (lanes.length - 1) / 2)]]);
  lanes.forEach((lane, row) => {
    for (const application of applications) places.set(stopId(lane, application), corner(stopId(null, application), row));
  });
  return places;
}
