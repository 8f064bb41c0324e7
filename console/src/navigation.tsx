/** Every view: its address, and its entry in the navigation, if it has one. A view is a folder below views/. The first one
 * comes with the page, the others when they are asked for.
 */
import { type Icon, IconLayoutDashboard, IconRocket, IconRoute, IconServer2, IconShare3, IconHistory } from "@tabler/icons-react";
import { type RouteComponent, lazyRouteComponent } from "@tanstack/react-router";
import type { ComponentType } from "react";
import Overview from "./views/overview/Overview";

export interface View {
  path: string;
  /** Key of its name in the texts; without it the view has no entry in the navigation. */
  name?: "overview" | "releases" | "explain" | "services" | "proxies" | "history";
  icon?: Icon;
  component: RouteComponent;
}

const later = (load: () => Promise<{ default: ComponentType }>) => lazyRouteComponent(load);

export const views: View[] = [
  { path: "/new-group", component: later(() => import("./views/edit/EditGroup")) },
  { path: "/groups/$group/edit", component: later(() => import("./views/edit/EditGroup")) },
  { path: "/groups/$group/new-lane", component: later(() => import("./views/edit/NewLane")) },
  { path: "/groups/$group/lanes/$lane/edit", component: later(() => import("./views/edit/EditLane")) },
  { path: "/groups/$group", component: later(() => import("./views/group/Group")) },
  { path: "/", name: "overview", icon: IconLayoutDashboard, component: Overview },
  { path: "/releases", name: "releases", icon: IconRocket, component: later(() => import("./views/releases/Releases")) },
  { path: "/releases/$group/$release", component: later(() => import("./views/releases/Release")) },
  { path: "/releases/$group/$release/edit", component: later(() => import("./views/releases/EditRelease")) },
  { path: "/new-freeze", component: later(() => import("./views/releases/EditFreeze")) },
  { path: "/freezes/$freeze", component: later(() => import("./views/releases/EditFreeze")) },
  { path: "/new-release/$group", component: later(() => import("./views/releases/NewRelease")) },
  { path: "/explain", name: "explain", icon: IconRoute, component: later(() => import("./views/explain/Explain")) },
  { path: "/services", name: "services", icon: IconServer2, component: later(() => import("./views/services/Services")) },
  { path: "/proxies", name: "proxies", icon: IconShare3, component: later(() => import("./views/proxies/Proxies")) },
  { path: "/proxies/$node", component: later(() => import("./views/proxies/Proxy")) },
  { path: "/history", name: "history", icon: IconHistory, component: later(() => import("./views/history/History")) },
];
