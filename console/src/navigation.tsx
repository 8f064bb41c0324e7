/** Every view: its address, and its entry in the navigation, if it has one. A view is a folder below views/. */
import { type Icon, IconLayoutDashboard } from "@tabler/icons-react";
import type { ComponentType } from "react";

export interface View {
  path: string;
  /** Key of its name in the texts; without it the view has no entry in the navigation. */
  name?: "overview";
  icon?: Icon;
  load: () => Promise<{ default: ComponentType }>;
}

export const views: View[] = [
  { path: "/groups/$group", load: () => import("./views/group/Group") },
  { path: "/", name: "overview", icon: IconLayoutDashboard, load: () => import("./views/overview/Overview") },
];
