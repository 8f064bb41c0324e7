/** Lets in whoever the server knows, and asks others for their token. */
import { Alert, Button, Center, Loader, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, client, told } from "../api/client";
import { session } from "../api/queries";

export function Entrance({ children }: { children: ReactNode }) {
  const { data, error } = useQuery({ ...session, refetchInterval: (query) => (query.state.error ? 2_000 : false) });
  const refused = error instanceof ApiError && error.status === 401;
  if (refused) return <Login />;
  if (data) return children;
  return <Waiting failed={error !== null} />;
}

function Waiting({ failed }: { failed: boolean }) {
  const { t } = useTranslation();
  return (
    <Center component="main" mih="100vh" p="md">
      {failed ? <Alert color="red" title={t("shell.noServer")} role="alert">{t("shell.triesAgain")}</Alert> : <Loader aria-label={t("shell.loading")} />}
    </Center>
  );
}

function Login() {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [token, setToken] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);

  const enter = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const found = await told(client.POST("/v1/session", { headers: { authorization: `Bearer ${token.trim()}` } }));
      queries.clear();
      queries.setQueryData(session.queryKey, found);
    } catch (error) {
      setWrong(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Center component="main" mih="100vh" p="md">
      <Paper withBorder p="xl" w="100%" maw={420}>
        <form onSubmit={(event) => void enter(event)}>
          <Stack>
            <Title order={1} size="h2">Laneway</Title>
            <Text>{t("login.why")}</Text>
            <PasswordInput
              label={t("login.token")}
              value={token}
              onChange={(event) => setToken(event.currentTarget.value)}
              error={wrong}
              autoComplete="off"
              required
              data-autofocus
              visibilityToggleButtonProps={{ "aria-label": t("login.show") }}
            />
            <Button type="submit" loading={busy}>{t("login.enter")}</Button>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
