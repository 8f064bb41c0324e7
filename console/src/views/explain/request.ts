/** The request that is asked about: as fields, as a `curl` line, and as the API takes it. */

export interface Asked {
  gateway: string;
  method: string;
  host: string;
  path: string;
  /** One header a line, as `Name: value`. */
  headers: string;
  client: string;
  /** Of the listener; empty: the only one. */
  port: string;
}

export interface Question {
  gateway: string;
  method: string;
  host: string;
  path: string;
  headers: [string, string][];
  client_address?: string;
  port?: number;
}

export const plain = (gateway: string): Asked => ({ gateway, method: "GET", host: "", path: "/", headers: "", client: "", port: "" });

export function question(asked: Asked): Question {
  const headers = asked.headers
    .split("\n")
    .filter((line) => line.trim())
    .map((line): [string, string] => {
      const colon = line.indexOf(":");
      return colon < 1 ? [line.trim(), ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    });
  return {
    gateway: asked.gateway,
    method: asked.method.toUpperCase(),
    host: asked.host,
    path: asked.path,
    headers,
    ...(asked.client ? { client_address: asked.client } : {}),
    ...(asked.port ? { port: Number(asked.port) } : {}),
  };
}

const quoted = (text: string) => (/^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The same question to the command line. */
export function command(asked: Question, rolledOut: boolean): string {
  const words = ["laneway", "explain", "--gateway", quoted(asked.gateway), "--path", quoted(asked.path)];
  if (asked.method !== "GET") words.push("-X", quoted(asked.method));
  if (asked.host) words.push("--host", quoted(asked.host));
  for (const [name, value] of asked.headers) words.push("-H", quoted(`${name}: ${value}`));
  if (asked.client_address) words.push("--client-address", quoted(asked.client_address));
  if (asked.port) words.push("--port", String(asked.port));
  if (rolledOut) words.push("--as", "definitions");
  return words.join(" ");
}

/** A line for a shell that sends the request to an edge. origin: scheme, name and port. */
export function curlLine(asked: Question, origin: string, more: [string, string][]): string {
  const words = ["curl", "-i"];
  if (asked.method === "HEAD") words.push("-I");
  else if (asked.method !== "GET") words.push("-X", quoted(asked.method));
  if (asked.host) words.push("-H", quoted(`Host: ${asked.host}`));
  for (const [name, value] of [...asked.headers, ...more]) words.push("-H", quoted(`${name}: ${value}`));
  words.push(quoted(origin + asked.path));
  return words.join(" ");
}

const ESCAPED: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

/** The words of a line as a POSIX shell takes them, and `$'…'` as browsers write it; `^` is how they write for cmd.exe. */
export function words(line: string): string[] {
  const found: string[] = [];
  let word: string | null = null;
  let quote: "'" | '"' | "$" | null = null;
  for (let at = 0; at < line.length; at++) {
    const one = line[at] as string;
    const next = line[at + 1];
    if (quote === "'") {
      if (one === "'") quote = null;
      else word += one;
    } else if (quote === "$") {
      if (one === "'") quote = null;
      else if (one === "\\" && next !== undefined) {
        const code = /^u([0-9a-fA-F]{4})|^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1));
        word += code ? String.fromCharCode(Number.parseInt((code[1] ?? code[2]) as string, 16)) : (ESCAPED[next] ?? next);
        at += code ? code[0].length : 1;
      } else word += one;
    } else if (quote === '"') {
      if (one === '"') quote = null;
      else if (one === "\\" && next !== undefined && '"\\$`\n'.includes(next)) {
        if (next !== "\n") word += next;
        at++;
      } else word += one;
    } else if (one === "'" || one === '"') {
      word ??= "";
      quote = one;
    } else if (one === "$" && next === "'") {
      word ??= "";
      quote = "$";
      at++;
    } else if ((one === "\\" || one === "^") && next !== undefined) {
      if (next !== "\n") word = (word ?? "") + next;
      at++;
    } else if (/\s/.test(one)) {
      if (word !== null) found.push(word);
      word = null;
    } else word = (word ?? "") + one;
  }
  if (word !== null) found.push(word);
  return found;
}

/** The fields that a `laneway explain` line gives; null if it is none. */
export function fromCommand(line: string): Asked | null {
  const parts = words(line.trim());
  if (parts[0] !== "laneway" || parts[1] !== "explain") return null;
  const asked = plain("");
  const headers: string[] = [];
  for (let at = 2; at < parts.length; at++) {
    const joined = /^(--[a-z-]+)=(.*)$/s.exec(parts[at] as string);
    const option = joined ? joined[1] : parts[at];
    const value = joined ? (joined[2] as string) : (parts[at + 1] ?? "");
    if (option === "--gateway" || option === "-g") asked.gateway = value;
    else if (option === "--path") asked.path = value;
    else if (option === "--host") asked.host = value;
    else if (option === "--method" || option === "-X") asked.method = value;
    else if (option === "--header" || option === "-H") headers.push(value);
    else if (option === "--client-address") asked.client = value;
    else if (option === "--port") asked.port = value;
    else continue;
    if (!joined) at++;
  }
  return { ...asked, headers: headers.join("\n") };
}

const TAKES_A_VALUE = /^(-[oebwmuxETKcCFrQtyYzUPA]|--(output|max-time|user|proxy|cacert|cert|key|write-out|retry|connect-timeout|resolve|connect-to|form|range|interface))$/;
const BODY = /^(-d|--data|--data-raw|--data-binary|--data-ascii|--data-urlencode|--json)$/;

/** The fields that a `curl` line gives; null if it is none, or names no URL. */
export function fromCurl(line: string): Partial<Asked> | null {
  const parts = words(line.trim());
  if (parts[0] !== "curl" && parts[0] !== "curl.exe") return null;
  const headers: string[] = [];
  let method = "";
  let url = "";
  let body = false;
  let head = false;
  for (let at = 1; at < parts.length; at++) {
    let part = parts[at] as string;
    let value = parts[at + 1] ?? "";
    const long = /^(--[a-z-]+)=(.*)$/s.exec(part);
    const short = /^(-[HXbdAe])(.+)$/s.exec(part);
    const joined = long ?? short;
    if (joined) {
      part = joined[1] as string;
      value = joined[2] as string;
    }
    const taken = () => (joined ? undefined : at++);
    if (part === "-H" || part === "--header") {
      headers.push(value);
      taken();
    } else if (part === "-X" || part === "--request") {
      method = value;
      taken();
    } else if (part === "-b" || part === "--cookie") {
      headers.push(`Cookie: ${value}`);
      taken();
    } else if (part === "-A" || part === "--user-agent") {
      headers.push(`User-Agent: ${value}`);
      taken();
    } else if (part === "-e" || part === "--referer") {
      headers.push(`Referer: ${value}`);
      taken();
    } else if (BODY.test(part)) {
      body = true;
      taken();
    } else if (part === "-I" || part === "--head") head = true;
    else if (part === "--url") {
      url = value;
      taken();
    } else if (TAKES_A_VALUE.test(part)) taken();
    else if (!part.startsWith("-") && !url) url = part;
  }
  const parted = /^(?:([a-z]+):\/\/)?([^/?#]+)([^#]*)/i.exec(url);
  if (!parted) return null;
  const named = headers.find((one) => /^host\s*:/i.test(one));
  const path = parted[3] ?? "";
  return {
    method: method || (head ? "HEAD" : body ? "POST" : "GET"),
    host: named ? named.slice(named.indexOf(":") + 1).trim() : (parted[2] as string).replace(/^[^@]*@/, ""),
    path: path.startsWith("/") ? path : `/${path}`,
    headers: headers.filter((one) => one !== named).join("\n"),
  };
}
