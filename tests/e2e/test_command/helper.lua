return "helped" -- a module beside test files
