import { Alert, Badge, Input, Modal, createTheme } from "@mantine/core";

/** Colours of text on the page and on filled parts have a contrast of 4.5 and more in both schemes. */
export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  respectReducedMotion: true,
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif",
  defaultRadius: "sm",
  components: {
    Alert: Alert.extend({ defaultProps: { variant: "outline" }, styles: { label: { color: "var(--mantine-color-text)" } } }),
    // The header of a dialog is no banner of the page.
    Modal: Modal.extend({ defaultProps: { attributes: { header: { role: "presentation" } } } }),
    InputWrapper: Input.Wrapper.extend({ styles: { description: { color: "var(--mantine-color-text)" } } }),
    Badge: Badge.extend({ styles: { root: { flexShrink: 0, overflow: "visible", maxWidth: "none" }, label: { overflow: "visible" } } }),
  },
});
