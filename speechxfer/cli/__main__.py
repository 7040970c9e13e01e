from speechxfer.cli import main

main()
