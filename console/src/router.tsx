import { createHashHistory, createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import { views } from "./navigation";
import { NotFound } from "./shell/NotFound";
import { Shell } from "./shell/Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const children = views.map((view) =>
  createRoute({
    getParentRoute: () => root,
    path: view.path,
    component: view.component,
    validateSearch: (search: Record<string, unknown>) => search,
  }),
);

// Behind `#`, so that no address of a view is one of the API.
export const router = createRouter({
  routeTree: root.addChildren(children),
  history: createHashHistory(),
  defaultPreload: "intent",
});
