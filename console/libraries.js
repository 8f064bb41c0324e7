/** How large the libraries in the built scripts are. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const FIRST_VIEW = "/src/views/overview/";
const LIBRARY = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/** What each library adds to the built scripts, into .console/libraries.json. A script is compressed as a whole, so its
 * compressed size is divided by the length of what each library has in it. Sizes in bytes. */
/** @type {import("vite").Plugin} */
export const libraries = {
  name: "libraries",
  generateBundle(_, bundle) {
    const chunks = Object.values(bundle).filter((one) => one.type === "chunk");
    const early = new Set();
    const take = (name) => {
      const one = chunks.find((chunk) => chunk.fileName === name);
      if (!one || early.has(name)) return;
      early.add(name);
      for (const other of one.imports) take(other);
    };
    for (const one of chunks) if (one.isEntry || one.facadeModuleId?.includes(FIRST_VIEW)) take(one.fileName);
    const found = {};
    for (const chunk of chunks) {
      const compressed = gzipSync(chunk.code).length;
      const whole = Object.values(chunk.modules).reduce((sum, one) => sum + one.renderedLength, 0);
      for (const [file, { renderedLength }] of Object.entries(chunk.modules)) {
        const [folder, name = ""] = LIBRARY.exec(file) ?? ["", ""];
        found[name] ??= { version: name && JSON.parse(readFileSync(`${folder}package.json`, "utf8")).version, all: 0, first: 0 };
        const size = whole && (compressed * renderedLength) / whole;
        found[name].all += size;
        if (early.has(chunk.fileName)) found[name].first += size;
      }
    }
    const styles = Object.values(bundle).filter((one) => one.type === "asset" && one.fileName.endsWith(".css"));
    const sizes = styles.map((one) => ({ size: gzipSync(one.source).length, first: one.fileName.includes("/index-") }));
    const sum = (some) => some.reduce((all, one) => all + one.size, 0);
    found.styles = { version: "", all: sum(sizes), first: sum(sizes.filter((one) => one.first)) };
    mkdirSync("../.console", { recursive: true });
    writeFileSync("../.console/libraries.json", JSON.stringify(found));
  },
};
