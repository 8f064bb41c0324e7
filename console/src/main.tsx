import { nonce } from "./nonce";
import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./console.css";
import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError, whenRefused } from "./api/client";
import { session } from "./api/queries";
import { router } from "./router";
import { Entrance } from "./shell/Entrance";
import "./texts";
import { theme } from "./theme";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (failures, error) => !(error instanceof ApiError && error.status < 500) && failures < 2,
      staleTime: 1_000,
    },
  },
});
// What the first view is made of comes while the server is asked who asks.
void queries.prefetchQuery(session);
void router.load();
whenRefused(() => void queries.invalidateQueries({ queryKey: session.queryKey }));

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
        <Notifications />
        <QueryClientProvider client={queries}>
          <Entrance>
            <RouterProvider router={router} />
          </Entrance>
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
