import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { libraries } from "./libraries.js";

const NONCE = "NONCE-OF-THE-ANSWER"; // controlplane/admin/console.py replaces it in each answer

const nonce: Plugin = {
  name: "nonce",
  transformIndexHtml: (html) =>
    html.replaceAll("<script ", `<script nonce="${NONCE}" `).replaceAll('<link rel="stylesheet" ', `<link rel="stylesheet" nonce="${NONCE}" `),
};

export default defineConfig({
  plugins: [react(), nonce, libraries],
  base: "/",
  build: {
    outDir: "../controlplane/admin/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2022",
    chunkSizeWarningLimit: 1000,
    license: { fileName: "licenses.txt" },
  },
});
