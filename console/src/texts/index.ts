import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { en } from "./en";
import { zh } from "./zh";

export const languages = { en: "English", zh: "中文" };
const STORED = "laneway-language";

function preferred(): string {
  const stored = window.localStorage.getItem(STORED);
  return stored ?? (navigator.language.startsWith("zh") ? "zh" : "en");
}

function named(code: string): void {
  document.documentElement.lang = code === "zh" ? "zh-CN" : code;
}

i18next.on("languageChanged", (code) => {
  window.localStorage.setItem(STORED, code);
  named(code);
});

void i18next.use(initReactI18next).init({
  resources: { en: { translation: en }, zh: { translation: zh } },
  lng: preferred(),
  fallbackLng: "en",
  interpolation: { escapeValue: false }, // React shows all values as text
  react: { useSuspense: false },
});
named(i18next.language);
