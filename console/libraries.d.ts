import type { Plugin } from "vite";

export declare const libraries: Plugin;
