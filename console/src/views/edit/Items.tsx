/** A list of parts of a document, such as the steps of a release: each with its fields; to add, to move up, to remove. */
import { Button, Fieldset, Group, Stack, Text } from "@mantine/core";
import { type ReactNode, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Wrong } from "./Editor";

interface Props<T extends object> {
  legend: string;
  description?: string;
  /** Where the list is in the document. */
  field: string;
  items: T[];
  set: (items: T[]) => void;
  wrong: Wrong;
  /** What one is called, by its number from 1. */
  name: (number: number) => string;
  add: string;
  /** A new one, which follows the last. */
  first: (last: T | undefined) => T;
  /** The fields that the form has; the YAML may give others. */
  fields: (item: T) => readonly string[];
  form: (item: T, put: (some: Given<T>) => void, field: string) => ReactNode;
}

/** Fields to change; those that are undefined are left out of the document. */
export type Given<T> = { [name in keyof T]?: T[name] | undefined };

export function Items<T extends object>({ legend, description, field, items, set, wrong, name, add, first, fields, form }: Props<T>) {
  const { t } = useTranslation();
  const more = useRef<HTMLButtonElement>(null);
  const put = (at: number, some: Given<T>) => set(items.map((one, index) => (index === at ? given({ ...one, ...some }) : one)));
  const remove = (at: number) => {
    set(items.filter((_, index) => index !== at));
    more.current?.focus(); // the button that had the focus goes
  };
  const up = (at: number) => set(items.map((one, index) => (index === at - 1 ? (items[at] ?? one) : index === at ? (items[at - 1] ?? one) : one)));
  return (
    <Fieldset legend={legend}>
      <Stack gap="md">
        {description && <Text size="sm">{description}</Text>}
        {items.map((one, at) => {
          const place = `${field}[${at}]`;
          const called = name(at + 1);
          const unseen = Object.keys(one).filter((key) => !fields(one).includes(key));
          return (
            // biome-ignore lint: they have no other identity than their place
            <Stack key={at} gap="xs" role="group" aria-label={called}>
              <Group justify="space-between">
                <Text fw={600} size="sm">{called}</Text>
                <Group gap="xs">
                  {at > 0 && <Button variant="default" size="compact-sm" onClick={() => up(at)} aria-label={`${t("edit.up")}: ${called}`}>{t("edit.up")}</Button>}
                  <Button variant="default" size="compact-sm" onClick={() => remove(at)} aria-label={`${t("edit.remove")}: ${called}`}>{t("edit.remove")}</Button>
                </Group>
              </Group>
              {form(one, (some) => put(at, some), place)}
              {unseen.length > 0 && <Text size="sm">{t("edit.onlyYaml", { fields: unseen.join(", ") })}</Text>}
              <Mistake text={wrong(place, "only")} />
            </Stack>
          );
        })}
        <Mistake text={wrong(field, "only")} />
        <Button ref={more} variant="default" size="xs" onClick={() => set([...items, first(items.at(-1))])}>{add}</Button>
      </Stack>
    </Fieldset>
  );
}

/** Without what is undefined. */
export function given<T extends object>(item: { [name in keyof T]: T[name] | undefined }): T {
  return Object.fromEntries(Object.entries(item).filter(([, value]) => value !== undefined)) as T;
}

function Mistake({ text }: { text: string | undefined }) {
  return text ? <Text size="sm" c="var(--mantine-color-error)">{text}</Text> : null;
}
