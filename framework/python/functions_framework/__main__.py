"""python -m functions_framework serves the function that the environment names."""
from functions_framework._main import main

main()
