import { Anchor, Stack, Text, Title } from "@mantine/core";
import { useTranslation } from "react-i18next";

export function NotFound() {
  const { t } = useTranslation();
  return (
    <Stack>
      <Title order={1}>{t("shell.notFound")}</Title>
      <Text>
        <Anchor href="#/">{t("views.overview")}</Anchor>
      </Text>
    </Stack>
  );
}
