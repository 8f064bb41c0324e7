/** Every view: its address, and its entry in the navigation, if it has one. A view is a folder below views/. */
import { type Icon, IconLayoutDashboard, IconRocket, IconRoute, IconServer2, IconShare3, IconHistory } from "@tabler/icons-react";
import type { ComponentType } from "react";

export interface View {
  path: string;
  /** Key of its name in the texts; without it the view has no entry in the navigation. */
  name?: "overview" | "releases" | "explain" | "services" | "proxies" | "history";
  icon?: Icon;
  load: () => Promise<{ default: ComponentType }>;
}

export const views: View[] = [
  { path: "/new-group", load: () => import("./views/edit/EditGroup") },
  { path: "/groups/$group/edit", load: () => import("./views/edit/EditGroup") },
  { path: "/groups/$group/new-lane", load: () => import("./views/edit/NewLane") },
  { path: "/groups/$group/lanes/$lane/edit", load: () => import("./views/edit/EditLane") },
  { path: "/groups/$group", load: () => import("./views/group/Group") },
  { path: "/", name: "overview", icon: IconLayoutDashboard, load: () => import("./views/overview/Overview") },
  { path: "/releases", name: "releases", icon: IconRocket, load: () => import("./views/releases/Releases") },
  { path: "/releases/$group/$release", load: () => import("./views/releases/Release") },
  { path: "/releases/$group/$release/edit", load: () => import("./views/releases/EditRelease") },
  { path: "/new-freeze", load: () => import("./views/releases/EditFreeze") },
  { path: "/freezes/$freeze", load: () => import("./views/releases/EditFreeze") },
  { path: "/new-release/$group", load: () => import("./views/releases/NewRelease") },
  { path: "/explain", name: "explain", icon: IconRoute, load: () => import("./views/explain/Explain") },
  { path: "/services", name: "services", icon: IconServer2, load: () => import("./views/services/Services") },
  { path: "/proxies", name: "proxies", icon: IconShare3, load: () => import("./views/proxies/Proxies") },
  { path: "/proxies/$node", load: () => import("./views/proxies/Proxy") },
  { path: "/history", name: "history", icon: IconHistory, load: () => import("./views/history/History") },
];
