/** A document as form and as YAML, side by side; what the server says of it while it is typed. */
import { Alert, Button, Card, Grid, Group, Stack, Text, Textarea, Title } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { parse, stringify } from "yaml";
import { ApiError } from "../../api/client";
import { type Document, effectOf } from "../../api/effects";
import { type Action, Confirm, Refused } from "../../parts/Confirm";
import { Effect } from "../../parts/Effect";
import { applies, takeOver } from "../../parts/laneActions";

/** What is wrong with a field, or with a part of it; `only`: with the field itself. */
export type Wrong = (field: string, only?: "only") => string | undefined;
type Change = (change: Document) => void;

interface Props {
  title: string;
  first: Document;
  /** What is stored now, by others too; absent where nothing is. */
  stored?: Document | undefined;
  /** Begins again with what is stored. */
  again?: () => void;
  /** Fields that the form has. */
  fields: string[];
  form?: (document: Document, change: Change, wrong: Wrong) => ReactNode;
  /** Where the document goes, once it has a name. */
  path: (document: Document) => string;
  match?: string | null | undefined;
  done: (document: Document) => void;
}

const TYPED = 400; // milliseconds without a key, after which the server is asked

export function Editor({ title, first, stored, again, fields, form, path, match, done }: Props) {
  const { t } = useTranslation();
  const [document, setDocument] = useState(first);
  const [text, setText] = useState(() => stringify(first));
  const [mistake, setMistake] = useState("");
  const [action, setAction] = useState<Action | null>(null);
  const [asked] = useDebouncedValue(document, TYPED);
  const effect = useQuery({
    queryKey: ["effect", asked],
    queryFn: () => effectOf([asked]),
    retry: false,
    staleTime: 5_000,
    placeholderData: keepPreviousData,
  });
  const refused = effect.error instanceof ApiError ? effect.error : null;
  const wrong: Wrong = (field, only) =>
    (refused?.problem?.errors ?? [])
      .filter((one) => one.field === field || (!only && (one.field.startsWith(`${field}[`) || one.field.startsWith(`${field}.`))))
      .map((one) => `${one.message}; ${one.remedy}`)
      .join(" ") || undefined;
  const change: Change = (some) => {
    const next: Document = { ...document, ...some };
    for (const key of Object.keys(next)) if (next[key] === undefined) delete next[key];
    setDocument(next);
    setText(stringify(next));
    setMistake("");
  };
  const typed = (value: string) => {
    setText(value);
    try {
      const found: unknown = parse(value);
      if (found === null || typeof found !== "object" || Array.isArray(found)) throw new Error(t("edit.oneDocument"));
      setDocument(found as Document);
      setMistake("");
    } catch (error) {
      setMistake(error instanceof Error ? error.message : String(error));
    }
  };
  const unseen = form ? Object.keys(document).filter((key) => !fields.includes(key)) : [];
  const others = stored ? differing(first, stored) : [];
  const save = () =>
    setAction({
      title: t("edit.save"),
      says: t("edit.saveSays", { name: String(document.name ?? "") }),
      call: { method: "PUT", path: path(document), body: document, ...(match ? { match } : { absent: true }) },
      command: applies(document),
      documents: [document],
      ...(document.kind === "Lane" && { choices: [takeOver(t)] }),
    });
  return (
    <Stack>
      <Title order={1} size="h2">{title}</Title>
      {others.length > 0 && (
        <Alert color="yellow" role="alert" title={t("edit.changedByOthers")}>
          <Stack gap="xs" align="flex-start">
            <Text size="sm">{t("edit.changedByOthersText", { fields: others.join(", ") })}</Text>
            {again && <Button size="xs" variant="default" onClick={again}>{t("edit.again")}</Button>}
          </Stack>
        </Alert>
      )}
      <Grid>
        {form && (
          <Grid.Col span={{ base: 12, lg: 7 }}>
            <Card withBorder component="section">
              <Stack>{form(document, change, wrong)}</Stack>
              {unseen.length > 0 && <Text size="sm" mt="sm">{t("edit.onlyYaml", { fields: unseen.join(", ") })}</Text>}
            </Card>
          </Grid.Col>
        )}
        <Grid.Col span={{ base: 12, lg: form ? 5 : 12 }}>
          <Textarea label="YAML" value={text} onChange={(event) => typed(event.currentTarget.value)} autosize minRows={12} maxRows={40} error={mistake} styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }} spellCheck={false} />
        </Grid.Col>
      </Grid>
      <Card withBorder component="section" aria-label={t("edit.effect")}>
        <Title order={2} size="h4" mb="xs">{t("edit.effect")}</Title>
        {refused ? <Refused error={refused} /> : effect.data ? <Effect applied={effect.data} /> : <Alert title={t("shell.loading")} />}
      </Card>
      <Group>
        <Button onClick={save} disabled={mistake !== "" || refused !== null || !document.name}>{t("edit.review")}</Button>
      </Group>
      <Confirm action={action} close={() => setAction(null)} done={() => done(document)} />
    </Stack>
  );
}

/** The fields of two documents that are not the same. */
function differing(one: Document, other: Document): string[] {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}
