/** Headers of answers that a lane sets, adds and removes. */
import { Fieldset, Stack, TagsInput, Textarea } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Wrong } from "./Editor";

type Lines = Record<string, string>;
export type Headers = { set?: Lines; add?: Lines; remove?: string[] };

interface Props {
  headers: Headers | undefined;
  set: (headers: Headers | undefined) => void;
  wrong: Wrong;
}

export function AnswerFields({ headers = {}, set, wrong }: Props) {
  const { t } = useTranslation();
  const put = (some: { [name in keyof Headers]: Headers[name] | undefined }) => {
    const next = Object.fromEntries(Object.entries({ ...headers, ...some }).filter(([, value]) => value && Object.keys(value).length > 0)) as Headers;
    set(Object.keys(next).length ? next : undefined);
  };
  return (
    <Fieldset legend={t("edit.answers")}>
      <Stack gap="sm">
        <LinesInput label={t("edit.answersSet")} lines={headers.set ?? {}} put={(lines) => put({ set: lines })} error={wrong("response_headers.set") ?? wrong("response_headers", "only")} />
        <LinesInput label={t("edit.answersAdd")} lines={headers.add ?? {}} put={(lines) => put({ add: lines })} error={wrong("response_headers.add")} />
        <TagsInput label={t("edit.answersRemove")} value={headers.remove ?? []} onChange={(remove) => put({ remove })} error={wrong("response_headers.remove")} acceptValueOnBlur />
      </Stack>
    </Fieldset>
  );
}

const written = (lines: Lines) => Object.entries(lines).map(([name, value]) => `${name}: ${value}`).join("\n");

function read(text: string): Lines {
  const found: Lines = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (line.trim()) found[(colon < 0 ? line : line.slice(0, colon)).trim()] = colon < 0 ? "" : line.slice(colon + 1).trim();
  }
  return found;
}

/** Names and values as text, one a line. What is typed stays as it is typed, unless the YAML says something else. */
function LinesInput({ label, lines, put, error }: { label: string; lines: Lines; put: (lines: Lines) => void; error: string | undefined }) {
  const { t } = useTranslation();
  const [text, setText] = useState(written(lines));
  const shown = written(read(text)) === written(lines) ? text : written(lines);
  return (
    <Textarea
      label={label}
      description={t("explain.headersText")}
      value={shown}
      onChange={(event) => {
        setText(event.currentTarget.value);
        put(read(event.currentTarget.value));
      }}
      error={error}
      autosize
      minRows={1}
      maxRows={6}
      spellCheck={false}
    />
  );
}
