/** Inputs of fields that may be left out: what is emptied is undefined, and its default stands in its place. */
import { NumberInput, TextInput } from "@mantine/core";

interface Common {
  label: string;
  description?: string;
  /** The default, where the field is left out. */
  placeholder?: string;
  error: string | undefined;
  required?: boolean;
  disabled?: boolean;
}

export function TextField({ value, put, ...common }: Common & { value: unknown; put: (value: string | undefined) => void }) {
  return <TextInput {...common} value={value == null ? "" : String(value)} onChange={(event) => put(event.currentTarget.value || undefined)} spellCheck={false} />;
}

/** What is out of bounds stays as it is typed: the server says what is wrong with it. */
export function NumberField({ value, put, ...common }: Common & { value: unknown; put: (value: number | undefined) => void; suffix?: string; min?: number; max?: number; decimalScale?: number }) {
  return (
    <NumberInput
      {...common}
      value={typeof value === "number" ? value : value == null ? "" : String(value)}
      onChange={(next) => put(next === "" ? undefined : (next as number))}
      clampBehavior="none"
    />
  );
}
