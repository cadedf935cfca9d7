import "./styles/tokens.css";
import "./styles/layout.css";
import "./styles/parts.css";

import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { adoptToken, shareToken } from "./api/token";
import { makeQueryClient } from "./queryClient";
import { makeRouter } from "./router";
import { applyTheme } from "./settings/theme";

applyTheme();
adoptToken();
shareToken();

// A page that was opened before an update asks for chunks that are gone: it starts again as new.
addEventListener("vite:preloadError", () => location.reload());

const queryClient = makeQueryClient();
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={makeRouter(queryClient)} />
    </QueryClientProvider>
  </StrictMode>,
);
