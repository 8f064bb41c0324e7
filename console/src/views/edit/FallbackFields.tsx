/** Who answers where no instance of the lane can be reached: for the whole lane, or for each application. */
import { Fieldset, Select, SimpleGrid, Stack } from "@mantine/core";
import { useTranslation } from "react-i18next";
import type { Wrong } from "./Editor";

type Way = "base" | "none";
export type Fallback = Way | Record<string, Way>;

interface Props {
  fallback: Fallback;
  applications: string[];
  set: (fallback: Fallback) => void;
  wrong: Wrong;
}

export function FallbackFields({ fallback, applications, set, wrong }: Props) {
  const { t } = useTranslation();
  const ways = [
    { value: "base", label: t("edit.fallbackBase") },
    { value: "none", label: t("edit.fallbackNone") },
  ];
  const single = typeof fallback !== "string";
  const choose = (value: string | null) => {
    if (value === "each") set(Object.fromEntries(applications.map((one): [string, Way] => [one, fallback === "none" ? "none" : "base"])));
    else if (value === "base" || value === "none") set(value);
  };
  return (
    <Stack gap="sm">
      <Select label={t("edit.fallback")} data={[...ways, { value: "each", label: t("edit.fallbackEach") }]} value={single ? "each" : fallback} onChange={choose} allowDeselect={false} error={wrong("fallback", "only")} />
      {single && (
        <Fieldset legend={t("edit.fallbackEach")}>
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            {[...new Set([...applications, ...Object.keys(fallback)])].map((one) => (
              <Select key={one} label={one} data={ways} value={fallback[one] ?? "base"} onChange={(value) => value && set({ ...fallback, [one]: value as Way })} allowDeselect={false} error={wrong(`fallback.${one}`)} />
            ))}
          </SimpleGrid>
        </Fieldset>
      )}
    </Stack>
  );
}
