// Kept by the template: copier update merges its changes into this file.
// The rules for all TypeScript code. Add rules for one service to its own eslint.config.js.
import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(globalIgnores(["coverage", "dist", "scripts"]), {
  files: ["**/*.ts"],
  extends: [js.configs.recommended, tseslint.configs.recommendedTypeChecked],
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: process.cwd() } },
});
